"""`manage.py doctor`: what is right is told, what is not is told with what to do."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from io import StringIO
from pathlib import Path
from typing import Any

import grpc
import pytest
import redis
from django.core.management import CommandError, call_command
from pytest_django import Settings

from ingestion.coordination import redis_client
from ingestion.management import diagnosis
from ingestion.models import Collection
from ingestion.vector_store.store import connect
from ragproject.embedded import services
from tests.support.local_site import LocalSite

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("clean_redis", "clean_milvus", "model_path")]


def findings(*arguments: str) -> tuple[dict[str, list[dict[str, Any]]], str]:
    """What --json prints, by subject, and the error that the command ended with."""
    written, ended = StringIO(), ""
    try:
        call_command("doctor", "--json", *arguments, stdout=written)
    except CommandError as error:
        ended = str(error)
    by_subject: dict[str, list[dict[str, Any]]] = {}
    for finding in json.loads(written.getvalue()):
        by_subject.setdefault(finding["subject"], []).append(finding)
    return by_subject, ended


def states(found: dict[str, list[dict[str, Any]]]) -> dict[str, set[str]]:
    return {subject: {one["state"] for one in all_of_it} for subject, all_of_it in found.items()}


def test_where_everything_is_right_nothing_fails() -> None:
    found, ended = findings()
    assert ended == ""
    told = states(found)
    services = ("versions", "permissions", "disk", "database", "redis", "milvus", "model", "device")
    assert {name: told[name] for name in services} == {name: {"ok"} for name in services}


def test_a_check_that_is_silenced_is_not_told(settings: Settings) -> None:
    settings.SERVES_OTHERS = True
    found, _ = findings()
    said = " ".join(each["says"] for each in found["settings"])
    assert "SESSION_COOKIE_SECURE" in said  # which is told where others are served
    assert "SecurityMiddleware" not in said


def test_people_get_lines_with_what_to_do(settings: Settings) -> None:
    settings.EMBED_MODEL, settings.MODEL_PATH = "/nowhere", "/nowhere"
    written = StringIO()
    with pytest.raises(CommandError, match=r"Not right: .*model"):
        call_command("doctor", stdout=written, no_color=True)
    assert "fail  model" in written.getvalue()
    assert "→ Set EMBED_MODEL to a folder with BGE-M3" in written.getvalue()


def absent_redis(settings: Any) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:9/0"
    redis_client.forget()


def absent_milvus(settings: Any) -> None:
    settings.MILVUS_URI = "http://192.0.2.1:1"


def missing_model(settings: Any) -> None:
    settings.EMBED_MODEL = settings.MODEL_PATH = "/nowhere"


def missing_device(settings: Any) -> None:
    settings.EMBED_DEVICE = "cuda:7"


def wrong_setting(settings: Any) -> None:
    settings.FETCH_PRIVATE_NETWORKS = ["10.0.0.0/99"]


@pytest.mark.parametrize(
    ("spoil", "subject", "remedy"),
    [
        (absent_redis, "redis", "REDIS_URL"),
        (absent_milvus, "milvus", "MILVUS_URI"),
        (missing_model, "model", "EMBED_MODEL"),
        (missing_device, "device", "EMBED_DEVICE"),
        (wrong_setting, "settings", "10.1.0.0/16"),
    ],
)
def test_what_is_wrong_fails_with_what_to_do(
    spoil: Callable[[Any], None], subject: str, remedy: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(settings)
    monkeypatch.setattr(diagnosis, "stack_runs", lambda folder: True)
    found, ended = findings()
    redis_client.forget()
    assert subject in ended
    (failed,) = (one for one in found[subject] if one["state"] == "fail")
    assert remedy in failed["remedy"]


class AsksForAPassword(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc has no types
    """Answers every call as Milvus does where the user or the password is wrong."""

    def service(self, handler_call_details: Any) -> Any:
        def refuse(request: bytes, context: Any) -> bytes:
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "auth check failure, please check username and password")
            return b""

        return grpc.unary_unary_rpc_method_handler(refuse)


@pytest.fixture
def locked_milvus(clean_milvus: object, settings: Settings) -> Iterator[None]:
    server = grpc.server(ThreadPoolExecutor(1), handlers=[AsksForAPassword()])
    settings.MILVUS_URI = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    settings.MILVUS_TOKEN = "root:wrong"
    server.start()
    yield
    server.stop(None).wait()


@pytest.mark.usefixtures("locked_milvus")
def test_a_milvus_that_refuses_the_password_fails() -> None:
    found, ended = findings()
    assert "milvus" in ended
    (failed,) = found["milvus"]
    assert failed["state"] == "fail" and "MILVUS_TOKEN" in failed["remedy"]


@pytest.mark.usefixtures("locked_milvus")
def test_a_stack_does_not_start_beside_a_milvus_that_refuses_the_password() -> None:
    with pytest.raises(CommandError, match=r"Milvus does not answer .* check MILVUS_TOKEN"):
        call_command("up")


def test_a_data_folder_that_is_not_there_yet_is_no_failure(tmp_path: Path, settings: Settings) -> None:
    settings.DATA_DIR = tmp_path / "new" / "folder"
    found = [*diagnosis.permissions(), *diagnosis.disk()]
    assert [finding.state for finding in found] == ["ok", "ok"]
    assert not settings.DATA_DIR.exists()


def test_a_redis_that_evicts_fails(clean_redis: redis.Redis) -> None:
    clean_redis.config_set("maxmemory-policy", "allkeys-lru")
    try:
        found, ended = findings()
    finally:
        clean_redis.config_set("maxmemory-policy", "noeviction")
    assert "redis" in ended
    assert "noeviction" in found["redis"][0]["remedy"]


def test_embedded_services_that_are_not_started_are_no_failure(settings: Settings) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:9/0"
    redis_client.forget()
    found, ended = findings()
    redis_client.forget()
    assert ended == ""
    assert (found["redis"][0]["state"], found["redis"][0]["remedy"]) == ("warn", "Run: python manage.py up")


def test_clocks_that_differ_are_told() -> None:
    now = time.time()
    assert diagnosis.clock("Redis", now + 30).state == "ok"
    assert diagnosis.clock("Redis", now - 120).state == "fail"


@pytest.mark.parametrize(("free", "state"), [(2**40, "ok"), (2**30, "warn"), (2**20, "fail")])
def test_a_disk_without_room_is_told(free: int, state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = type("Usage", (), {"free": free, "total": 2**41})
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    (found,) = diagnosis.disk()
    assert found.state == state


def test_an_index_of_another_model_is_told() -> None:
    Collection.objects.create(name="c", model="other", pooling="cls", dimension=4, active=True)
    (told,) = (finding for finding in diagnosis.milvus() if finding.subject == "index")
    assert told.state == "warn" and "other" in told.says


def test_packages_of_other_versions_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "requirements.txt").write_text("# Web\nDjango==1.0  # old\nnot-installed==1\n")
    monkeypatch.setattr(diagnosis, "REQUIREMENTS", tmp_path / "requirements.txt")
    (told,) = diagnosis.versions()
    assert (told.state, told.remedy) == ("warn", "Run: make setup")
    assert "Django" in told.says and "instead of 1.0" in told.says and "not-installed" not in told.says


def test_a_site_is_fetched_as_the_crawler_does(settings: Settings) -> None:
    assert diagnosis.network("http://127.0.0.1:9/").state == "fail"
    with LocalSite() as site:
        site.page("/", b"<p>hello</p>")
        settings.FETCH_PRIVATE_NETWORKS = ["127.0.0.0/8"]
        found = diagnosis.network(site.url("/"))
    assert found.state == "ok" and "12 bytes" in found.says


def test_a_collection_that_is_not_ours_fails(settings: Settings) -> None:
    row = Collection.objects.create(
        name="foreign", model=settings.MODEL_PATH, pooling="cls", dimension=settings.EMBED_DIMENSION, active=True
    )
    client = connect()
    client.create_collection(row.name, dimension=12)
    try:
        found, ended = findings()
    finally:
        client.drop_collection(row.name)
        client.close()
    assert ended == "Not right: milvus."
    (failed,) = found["milvus"]
    assert "another collection under the name foreign" in failed["says"]
    assert failed["remedy"].startswith("Rename or drop it")


def test_a_redis_whose_disk_is_full_is_no_wrong_address(monkeypatch: pytest.MonkeyPatch) -> None:
    words = "MISCONF Errors writing to the AOF file: No space left on device"
    monkeypatch.setattr(services, "redis_trouble", lambda: words)
    monkeypatch.setattr(diagnosis, "stack_runs", lambda folder: True)
    (failed,) = diagnosis.redis()
    assert (failed.state, failed.says) == ("fail", words)
    assert "Make room" in failed.remedy and "REDIS_URL" not in failed.remedy


@pytest.mark.parametrize(("runs", "state"), [(True, "fail"), (False, "warn")])
def test_migrations_fail_where_nothing_will_apply_them(
    runs: bool, state: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(diagnosis, "migrations_missing", lambda: 2)
    monkeypatch.setattr(diagnosis, "stack_runs", lambda folder: runs)
    told = next(diagnosis.database())
    assert (told.state, told.says) == (state, "2 migrations are not applied")
