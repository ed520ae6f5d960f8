"""The reader of the environment: each reading names its default and says in a sentence what the variable means.

In: variables of the environment and of a ``.env`` file; the environment wins. Out: typed values for the settings, and
in ``Environment.settings`` a description of each variable that was read. Does not use any of them itself. environs has
no public way to list what it read, and drops the metadata of lists; so this is kept here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

from django.core.exceptions import ImproperlyConfigured
from dotenv import dotenv_values
from environs import Env, validate

HIDDEN = "***"
# All before the host of a URL, up to the last @: a password may hold a : / or @ that was not escaped.
# In time that grows with the text alone: strangers write the addresses that logs hold.
WORD = re.compile(r"\S+")
PARAMETER = re.compile(r"([?&])([^?=&\s]*)=[^&\s]*")
SECRET_NAME = re.compile(r"pass|secret|token|key", re.IGNORECASE)

T = TypeVar("T")
Validator = Callable[[Any], Any]
NOT_NEGATIVE = validate.Range(0)
# Likeness of two names from 0 to 1: MILVUS_URL and MILVUS_URI have 0.9, LLM_URL and LLM_BASE_URL 0.74; compose's own
# variables have 0.7 at most with any setting.
LEAST_LIKENESS = 0.73


@dataclass(frozen=True)
class Setting:
    """A variable that the environment may set."""

    name: str
    topic: str
    default: str  # as the environment would spell it
    in_words: bool  # the default is named in words, because it depends on another setting
    meaning: str
    is_set: bool
    secret: bool


class Environment:
    """Typed variables, and a description of each that was read.

    Each reader takes the variable's name, its default and a sentence that says what it means, and raises
    ImproperlyConfigured, with the name, for a value of the wrong type or one that ``validate`` refuses. A number below
    0 is refused everywhere. ``default_in_words`` describes a default that depends on another setting; the value of a
    ``secret`` is never shown.
    """

    def __init__(self, file: Path) -> None:
        self.env = Env()
        self.env.read_env(str(file), recurse=False)
        self.in_file = {name for name, value in dotenv_values(file).items() if value is not None}
        self.settings: dict[str, Setting] = {}
        self.topic = ""

    def begin(self, topic: str) -> None:
        """Put the variables that are read from now on under a topic in ``manage.py settings``."""
        self.topic = topic

    def text(
        self,
        name: str,
        default: str,
        meaning: str,
        *,
        validate: Validator | None = None,
        default_in_words: str = "",
        secret: bool = False,
    ) -> str:
        """Return an environment variable as text, and keep its description. Raises ImproperlyConfigured."""
        self.describe(name, default, meaning, in_words=default_in_words, secret=secret)
        with named(name):
            return self.env.str(name, default, validate=validate)

    def integer(
        self, name: str, default: int, meaning: str, *, validate: Validator = NOT_NEGATIVE, default_in_words: str = ""
    ) -> int:
        """Return an environment variable as an integer, and keep its description. Raises ImproperlyConfigured."""
        self.describe(name, default, meaning, in_words=default_in_words)
        with named(name):
            return self.env.int(name, default, validate=validate)

    def number(
        self, name: str, default: float, meaning: str, *, validate: Validator = NOT_NEGATIVE, default_in_words: str = ""
    ) -> float:
        """Return an environment variable as a float, and keep its description. Raises ImproperlyConfigured."""
        self.describe(name, default, meaning, in_words=default_in_words)
        with named(name):
            return self.env.float(name, default, validate=validate)

    def flag(self, name: str, default: bool, meaning: str) -> bool:
        """Return an environment variable as a bool, and keep its description. Raises ImproperlyConfigured."""
        self.describe(name, default, meaning)
        with named(name):
            return self.env.bool(name, default)

    def items(self, name: str, default: Sequence[T], meaning: str, *, convert: Callable[[str], T]) -> list[T]:
        """Return a comma-separated variable as a list of converted items, without blanks around them and empty ones.

        An empty one would be a path to the folder that the process was started in.
        """
        self.describe(name, default, meaning)
        given: list[str] | None = self.env.list(name, None)
        with named(name):
            return list(default) if given is None else [convert(item.strip()) for item in given if item.strip()]

    def database(self, name: str, url: str) -> dict[str, Any]:
        """Return Django's configuration for the database at ``url``, which ``text`` read from ``name``."""
        with named(name):
            return dict(self.env.dj_db_url(name, url))

    def describe(self, name: str, default: object, meaning: str, *, in_words: str = "", secret: bool = False) -> None:
        """Keep a description of the variable for ``manage.py settings``."""
        is_set = name in os.environ or name in self.in_file
        self.settings[name] = Setting(
            name, self.topic, in_words or spelled(default), bool(in_words), meaning, is_set, secret
        )

    def seal(self) -> None:
        """Refuse further readings."""
        self.env.seal()


@contextmanager
def named(name: str) -> Iterator[None]:
    """Raise a ValueError of the block as ImproperlyConfigured with one sentence that names the variable."""
    try:
        yield
    except ValueError as error:  # environs' own errors are among them
        said = str(error).removeprefix(f'Environment variable "{name}" invalid: ').rstrip(".")
        raise ImproperlyConfigured(f"{name}: {said}. Correct it in the environment or in .env.") from error


def spelled(value: object) -> str:
    """Return the value as the environment would spell it."""
    match value:
        case bool():
            return str(value).lower()
        case float() if value.is_integer():
            return str(int(value))
        case list() | tuple():
            return ",".join(map(spelled, value))
        case dict():
            return ",".join(f"{name}={spelled(item)}" for name, item in value.items())
        case _:
            return str(value)


def misspelled(in_file: set[str], known: Mapping[str, Setting]) -> Iterator[str]:
    """Yield a warning for each variable of the .env file that looks like a setting's name misspelled."""
    for name in sorted(in_file - known.keys()):
        for nearest in get_close_matches(name.upper(), known, n=1, cutoff=LEAST_LIKENESS):
            yield f"WARNING: .env sets {name}, which is no setting. Did you mean {nearest}?"


def without_credentials(text: str) -> str:
    """Return the text with *** for the credentials of the URLs in it."""
    hidden = PARAMETER.sub(_without_value, text)
    return WORD.sub(_without_login, hidden) if "://" in hidden and "@" in hidden else hidden


def _without_value(parameter: re.Match[str]) -> str:
    """Return a parameter of an address, with *** for its value where its name is that of a secret."""
    mark, name = parameter.groups()
    return f"{mark}{name}={HIDDEN}" if SECRET_NAME.search(name) else parameter[0]


def _without_login(word: re.Match[str]) -> str:
    """Return a word with *** for what stands between the "://" of an address in it and its last "@"."""
    text, end = word[0], word[0].rfind("@")
    start = text.find("://")
    while start >= 0 and text.startswith("/", start + 3):  # the path of a file
        start = text.find("://", start + 3)
    return f"{text[:start]}://{HIDDEN}{text[end:]}" if 0 <= start < end else text
