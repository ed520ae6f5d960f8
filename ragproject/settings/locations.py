"""Where things are: the folder of all data, the database, Redis and Milvus.

Makes ``env``, the one reader of the environment, which the other topics use. A URL of Redis or Milvus may name a Unix
socket; ``broker_url``, ``socket_path`` and ``is_embedded`` say what such a URL means to others.
"""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from urllib.parse import parse_qs, quote, unquote, urlencode, urlsplit

from environs import ValidationError, validate

from ragproject.environment import Environment

BASE_DIR = Path(__file__).resolve().parents[2]

env = Environment(BASE_DIR / ".env")


def at_home(path: str) -> Path:
    """Return an absolute path. A relative one begins where manage.py is, wherever a process was started."""
    return (BASE_DIR / Path(path).expanduser()).resolve()


def redis_url(text: str) -> None:
    """Raise ValidationError for a text that is neither empty nor the URL of a Redis."""
    if text and not has_scheme(text, "redis", "rediss", "unix"):
        raise ValidationError("Write redis://:password@host:6379/0, with / # @ of a password as %2F %23 %40")


def milvus_uri(text: str) -> None:
    """Raise ValidationError for a text that is neither empty nor the address of a Milvus.

    The client itself would take it for a file's name, or say nothing.
    """
    if text and not (has_scheme(text, "http", "https", "tcp", "unix") or ("://" not in text and text.endswith(".db"))):
        raise ValidationError("Write http://host:19530")


def web_address(text: str) -> None:
    """Raise ValidationError for a text that is neither empty nor the address of something on the web."""
    with suppress(ValueError):  # UnicodeError is one: names have international characters, but not any
        host = (urlsplit(text).hostname or "").encode("idna")
        if not text or (host and has_scheme(text, "http", "https") and not re.search(r"\s", text)):
            return
    raise ValidationError("Write an address, as http://127.0.0.1:8080/path")


def sendable(text: str) -> None:
    """Raise ValidationError for a key that no request can carry in its head."""
    if not re.fullmatch(r"[!-~]*", text):
        raise ValidationError(
            "It holds blanks or characters such as typographic hyphens or quotes, which no request can carry; write it "
            "as the server's operator gave it"
        )


def has_scheme(text: str, *schemes: str) -> bool:
    """Return whether the URL has one of these schemes, and a port that is one where it names a port."""
    with suppress(ValueError):
        parts = urlsplit(text)
        return parts.scheme in schemes and parts.port != 0
    return False


env.begin("where data is")
DATA_DIR = at_home(
    env.text(
        "DATA_DIR",
        "var",
        "Folder of all that is stored, made for its owner alone (0700); its path has at most about 85 characters.",
        default_in_words="the folder var",
    )
)
DATABASE_URL = env.text(
    "DATABASE_URL",
    f"sqlite:///{quote(str(DATA_DIR / 'db.sqlite3'))}",
    "Where the database is: `sqlite:///…` or `postgres://…`.",
    default_in_words="SQLite in DATA_DIR",
)
# The embedded servers listen on Unix sockets that only the owner of DATA_DIR can reach: whoever can connect to them can
# read and change everything.
REDIS_URL = (
    env.text(
        "REDIS_URL",
        "",
        "Where Redis is, as `redis://:password@host:6379/0`.",
        default_in_words="embedded, in DATA_DIR",
        validate=redis_url,
    )
    or f"unix://{quote(str(DATA_DIR / 'redis' / 'redis.sock'))}?db=0"
)
MILVUS_URI = (
    env.text(
        "MILVUS_URI",
        "",
        "Where Milvus is, as `http://host:19530`.",
        default_in_words="embedded, in DATA_DIR",
        validate=milvus_uri,
    )
    or f"unix:{quote(str(DATA_DIR / 'milvus.sock'))}"
)
MILVUS_TOKEN = env.text("MILVUS_TOKEN", "", "Milvus' `user:password`.", secret=True)
MILVUS_ANONYMOUS = env.flag(
    "MILVUS_ANONYMOUS", False, "Use a Milvus elsewhere without a password: only where nobody else is in its network."
)
# A page or a command waits this long for Redis or Milvus before it says that there is no answer; both answer within
# milliseconds. Workers wait longer.
SERVICE_TIMEOUT_SECONDS = env.number(
    "SERVICE_TIMEOUT_SECONDS",
    2.0,
    "How long a page or a command waits for Redis or Milvus; workers wait longer.",
    validate=validate.Range(0.1, 60),
)
MILVUS_COLLECTION = env.text(
    "MILVUS_COLLECTION",
    "documents",
    "What the names of our collections in Milvus begin with.",
    validate=validate.Regexp(r"^[A-Za-z_]\w{0,99}$"),
)


def broker_url(url: str) -> str:
    """Return Redis' URL in the form that kombu knows, which for a Unix socket is another one than redis-py's."""
    parts = urlsplit(url)
    if parts.scheme != "unix":
        return url
    query = parse_qs(parts.query)
    password = parts.password or quote(query.get("password", [""])[0], safe="")
    user = f"{parts.username or ''}:{password}@" if password else ""
    return f"redis+socket://{user}{parts.path}?{urlencode({'virtual_host': query.get('db', ['0'])[0]})}"


def socket_path(url: str) -> Path | None:
    """Return the path of the Unix socket that a service's URL names, if it names one."""
    parts = urlsplit(url)
    return Path(unquote(parts.path)) if parts.scheme == "unix" else None


def is_embedded(url: str) -> bool:
    """Return whether the embedded stack runs the service at ``url``: on a socket below DATA_DIR or on loopback."""
    path = socket_path(url)
    if path is not None:
        return path.is_relative_to(DATA_DIR)
    return urlsplit(url).hostname in {"127.0.0.1", "localhost", "::1"}
