"""`manage.py settings`: every setting from one source, no secret shown, the README's table, misspelled names."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as configured
from django.core.management import call_command

from ingestion.management.commands.settings import shown, table
from ragproject.environment import Environment, misspelled
from ragproject.settings import env
from tests.ingestion.management.test_commands import run
from tests.test_packaging import OF_COMPOSE

README = configured.BASE_DIR / "README.md"
BEGIN, END = "<!-- manage.py settings --markdown -->\n", "\n<!-- end of the settings -->"
PASSWORDS = [
    ("DATABASE_URL", "postgres://user:{}@host/name"),
    ("REDIS_URL", "redis://:{}@host:6379/0"),
    ("REDIS_URL", "unix:///run/redis.sock?db=0&password={}"),
    ("MILVUS_URI", "https://user:{}@host:19530"),
    ("LLM_BASE_URL", "https://{}@host/v1"),
    ("EMAIL_URL", "smtp://user:{}@host:587"),
    ("LLM_BASE_URL", "https://host/v1?api-key={}"),
    ("CSRF_TRUSTED_ORIGINS", "https://a.example.org,https://user:{}@b.example.org"),
    *((name, "{}") for name in ("SECRET_KEY", "MILVUS_TOKEN", "GITHUB_TOKEN", "LLM_API_KEY")),
]


def output(*arguments: str) -> str:
    written = StringIO()
    call_command("settings", *arguments, stdout=written, stderr=StringIO())
    return written.getvalue()


def rows() -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in json.loads(output("--json"))}


@pytest.fixture
def dotenv(tmp_path: Path) -> Path:
    return tmp_path / ".env"


def test_it_lists_each_setting_with_its_value_its_default_and_one_sentence(settings: Any) -> None:
    settings.CHUNK_TOKENS = 100
    row = rows()["CHUNK_TOKENS"]
    assert (row["value"], row["default"]) == ("100", "320")
    for name, row in rows().items():
        assert row.keys() == {"name", "value", "default", "set", "meaning"}
        assert row["meaning"].endswith("."), name
        assert "|" not in row["meaning"] + row["default"], name


def test_it_says_which_the_environment_set() -> None:
    found = rows()
    assert found["WEB_PORT"]["set"] is True
    assert found["CHUNK_TOKENS"]["set"] is False


def test_it_counts_the_env_file_as_the_environment(dotenv: Path) -> None:
    dotenv.write_text("CHUNK_TOKENS_OF_A_TEST=100\n")
    read = Environment(dotenv)
    assert read.integer("CHUNK_TOKENS_OF_A_TEST", 320, "A number.") == 100
    assert read.integer("OTHER_TOKENS_OF_A_TEST", 320, "A number.") == 320
    assert [setting.is_set for setting in read.settings.values()] == [True, False]


def test_it_shows_the_same_in_the_table_for_people() -> None:
    lines = {line.split()[0]: line for line in output().splitlines()}
    assert lines.keys() == {"name", *env.settings}
    assert lines["CHUNK_TOKENS"].split()[1:3] == ["320", "320"]
    assert "yes" in lines["WEB_PORT"].split()


@pytest.mark.parametrize("password", ["qqxzzy", "qqx:zzy", "qqx/zzy", "qqx@zzy"])
@pytest.mark.parametrize(("name", "form"), PASSWORDS)
def test_it_shows_no_secret_in_any_form(name: str, form: str, password: str, settings: Any) -> None:
    value = form.format(password)
    setattr(settings, name, value.split(",") if isinstance(getattr(settings, name), list) else value)
    for found in (output(), output("--json"), output("--markdown")):
        assert "qqx" not in found
        assert "zzy" not in found
    assert "***" in rows()[name]["value"]


def test_every_setting_that_is_named_like_a_secret_is_one() -> None:
    words = ("SECRET", "PASSWORD", "TOKEN", "API_KEY", "HEADERS")
    named = {name for name in env.settings if name.endswith(words) or "SECRET" in name}
    assert {name for name, setting in env.settings.items() if setting.secret} == named


@pytest.mark.parametrize(
    "value", ["sqlite:////home/me@work/db", "ragproject/0.1 (+https://docs.example.org/about; docs@example.org)"]
)
def test_it_shows_what_is_no_secret_as_it_is(value: str) -> None:
    assert shown(value) == value


def test_it_spells_parameters_as_the_environment_does(settings: Any) -> None:
    settings.MILVUS_INDEX_PARAMS, settings.MILVUS_SEARCH_PARAMS = {"M": 16, "with_raw_data": True}, {}
    assert rows()["MILVUS_INDEX_PARAMS"]["value"] == "M=16,with_raw_data=true"
    assert rows()["MILVUS_SEARCH_PARAMS"]["value"] == ""


@pytest.mark.slow
def test_it_still_lists_when_neither_database_nor_services_are_there(tmp_path: Path) -> None:
    done = run(tmp_path, "settings", "--json")
    assert done.returncode == 0, done.stderr
    values = {row["name"]: row["value"] for row in json.loads(done.stdout)}
    assert values["REDIS_URL"] == "redis://127.0.0.1:9/0"


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("MILVUS_URL", "MILVUS_URI"),
        ("LLM_URL", "LLM_BASE_URL"),
        ("embed_model", "EMBED_MODEL"),
        ("SECRET", "SECRET_KEY"),
    ],
)
def test_it_names_the_nearest_setting_to_a_misspelled_one(
    wrong: str, right: str, dotenv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dotenv.write_text(f"WEB_PORT=1\n{wrong}=x\nPATH_OF_SOMETHING_ELSE=y\n")
    monkeypatch.setattr(env, "in_file", Environment(dotenv).in_file)
    said = StringIO()
    call_command("settings", "--json", stdout=StringIO(), stderr=said)
    assert said.getvalue().splitlines() == [f"WARNING: .env sets {wrong}, which is no setting. Did you mean {right}?"]


def test_it_warns_of_no_variable_of_compose_and_of_no_setting() -> None:
    assert list(misspelled(OF_COMPOSE | env.settings.keys(), env.settings)) == []


def test_the_readmes_table_is_what_it_prints() -> None:
    text = README.read_text()
    inside = text.partition(BEGIN)[2].partition(END)[0]
    assert inside.splitlines() == list(table(env.settings.values())), (
        f"put the output of manage.py settings --markdown between {BEGIN.strip()} and {END.strip()} in README.md"
    )
    assert output("--markdown").strip() == inside


def test_the_table_names_nothing_of_the_machine_it_was_printed_on() -> None:
    assert str(configured.BASE_DIR) not in output("--markdown")
