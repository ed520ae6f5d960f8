"""Values that the settings refuse, each with its variable's name, and how lists are read."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from django.conf import settings as project

from ragproject.environment import Environment
from ragproject.settings import env

pytestmark = pytest.mark.slow

# Reads the settings anew for each pair of a name and a value, and prints what each is refused with.
READ = """
import json, os, sys
from django.core.exceptions import ImproperlyConfigured
refusals = []
for name, value in json.loads(sys.argv[1]):
    for module in [module for module in sys.modules if module.startswith("ragproject.settings")]:
        del sys.modules[module]
    kept = os.environ.pop(name, None)
    os.environ[name] = value
    try:
        import ragproject.settings
    except ImproperlyConfigured as error:
        refusals.append(str(error))
    else:
        refusals.append("")
    del os.environ[name]
    os.environ.update({name: kept} if kept is not None else {})
print(json.dumps(refusals))
"""
NUMBERS = [name for name, setting in env.settings.items() if re.fullmatch(r"\d+(\.\d+)?", setting.default)]
# With 0 of these nothing would be handed out, everything would be handed out again at once, or Beat would never rest.
MORE_THAN_0 = [
    *("DISPATCH_SECONDS", "EMBEDDINGS_FLUSH_SECONDS", "LEASE_SECONDS", "MAX_DOCUMENTS_IN_FLIGHT", "MAX_CHUNKS_WAITING"),
    *("EMBEDDINGS_MAX_BYTES", "PAGE_TIME_LIMIT_SECONDS", "LIST_TIME_LIMIT_SECONDS", "FETCH_TIMEOUT_SECONDS"),
    *("FETCH_MAX_BYTES", "LLM_TIMEOUT_SECONDS", "LLM_MAX_TOKENS", "QUESTION_MAX_CHARS", "EMBED_DIMENSION"),
]
WRONG = [
    ("WEB_PORT", "many"),
    ("DEBUG", "maybe"),
    ("FETCH_PORTS", "80,https"),
    ("DATABASE_URL", "postgress://user:secret@host/name"),
    ("REDIS_URL", "localhost:6379"),
    ("REDIS_URL", "http://localhost:6379"),
    ("REDIS_URL", "redis://:pa/secret@localhost:6379/0"),
    ("MILVUS_URI", "localhost:19530"),
    ("MILVUS_URI", "htp://localhost:19530"),
    ("MILVUS_URI", "http://localhost:port"),
    ("MILVUS_INDEX_PARAMS", "M=x"),
    ("TIME_ZONE", "Europe/Berln"),
    ("EMAIL_URL", "smtp://user:secret@mail:port"),
    ("EMAIL_URL", "mail.example.org"),
    ("GITHUB_API_URL", "api.github.com"),
    ("LLM_BASE_URL", "127.0.0.1:11434/v1"),
    ("LLM_BASE_URL", "http://bücher[/v1"),
    ("LLM_BASE_URL", "http://model server/v1"),
    ("LLM_BASE_URL", "http://:8000/v1"),
    ("RERANK_URL", "http://127.0.0.1:port/rerank"),
    ("PUBLIC_URL", "docs.example.org"),
    ("LLM_API_KEY", "sk‐secret"),  # a hyphen as word processors make it
    ("RERANK_API_KEY", "secret key"),
    ("GITHUB_TOKEN", "“secret”"),
    ("ALLOWED_HOSTS", "https://docs.example.org"),
    ("ALLOWED_HOSTS", "docs.example.org:8000"),
]
RIGHT = [
    ("REDIS_URL", "rediss://:secret@redis.example.org:6379/0"),
    ("REDIS_URL", "unix:///run/redis.sock?db=0"),
    ("MILVUS_URI", "https://milvus.example.org"),
    ("MILVUS_URI", "./milvus.db"),
    ("MILVUS_INDEX_PARAMS", "M=16,efConstruction=200"),
    ("EMAIL_URL", "smtp+plain://mail"),
    ("ALLOWED_HOSTS", "docs.example.org, .example.org, [::1], *"),
    ("TIME_ZONE", "Europe/Berlin"),
    ("LLM_BASE_URL", "http://[::1]:11434/v1"),
    ("LLM_BASE_URL", "https://bücher.example/v1?version=1"),
    ("RERANK_URL", ""),
    ("LLM_API_KEY", "sk-a/b+c=_.~"),
]


def environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "DJANGO_SETTINGS_MODULE": "ragproject.settings", "DATA_DIR": str(folder)}


def refusals(values: list[tuple[str, str]], folder: Path) -> Mapping[tuple[str, str], str]:
    command = [sys.executable, "-W", "ignore", "-c", READ, json.dumps(values)]
    done = subprocess.run(
        command, cwd=project.BASE_DIR, env=environment(folder), capture_output=True, text=True, check=True
    )
    return dict(zip(values, json.loads(done.stdout), strict=True))


def test_a_value_that_cannot_work_is_refused_by_its_name_and_shows_no_secret(tmp_path: Path) -> None:
    said = refusals(WRONG, tmp_path)
    assert {pair for pair, words in said.items() if words.startswith(f"{pair[0]}: ")} == set(WRONG)
    assert "secret" not in "".join(said.values())


def test_a_value_that_works_is_not(tmp_path: Path) -> None:
    assert set(refusals(RIGHT, tmp_path).values()) == {""}


def test_no_number_is_negative_and_those_that_must_be_more_than_0_are(tmp_path: Path) -> None:
    values = [*((name, "-1") for name in NUMBERS), *((name, "0") for name in MORE_THAN_0)]
    assert len(NUMBERS) > 50
    assert [pair for pair, words in refusals(values, tmp_path).items() if not words] == []


def test_a_command_says_so_in_one_line(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "manage.py", "up"],
        cwd=project.BASE_DIR,
        env={**environment(tmp_path), "WEB_PORT": "many"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == "WEB_PORT: Not a valid integer. Correct it in the environment or in .env.\n"


def test_blanks_around_items_and_empty_ones_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOSTS", "a.example.org, b.example.org ,")
    monkeypatch.setenv("NONE", "")
    read = Environment(tmp_path / ".env")
    assert read.items("HOSTS", [], "Names.", convert=str) == ["a.example.org", "b.example.org"]
    assert read.items("NONE", ["a"], "Names.", convert=str) == []
    assert read.items("UNSET", ["a"], "Names.", convert=str) == ["a"]


def test_the_database_lies_in_a_folder_of_any_name(tmp_path: Path) -> None:
    folder = tmp_path / "C# and 50%25 of a?b"
    folder.mkdir()
    code = "from django.conf import settings as s; print(s.DATABASES['default']['NAME'])"
    variables = {name: value for name, value in environment(folder).items() if name != "DATABASE_URL"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=project.BASE_DIR,
        env={**variables, "SECRET_KEY": "0123456789abcdef" * 4},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == str(folder / "db.sqlite3")


def test_relative_paths_mean_the_same_wherever_a_process_was_started(tmp_path: Path) -> None:
    """The stack's processes start in manage.py's folder, the stack itself and commands anywhere."""
    code = "from django.conf import settings as s; print(s.DATA_DIR, s.DATABASES['default']['NAME'], *s.FILES_ROOTS)"
    home = project.BASE_DIR
    chosen = {"DATA_DIR": "a/b", "DATABASE_URL": "sqlite:///c.sqlite3", "FILES_ROOTS": "docs,/srv/docs"}
    key = {"SECRET_KEY": "0123456789abcdef" * 4}  # or one would be made in that folder
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=tmp_path,
        env={**environment(tmp_path), **chosen, **key, "PYTHONPATH": str(home)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == [f"{home}/a/b", f"{home}/c.sqlite3", f"{home}/docs", "/srv/docs"]
