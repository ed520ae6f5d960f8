"""Files of state that are cut short, emptied, overwritten or another user's: the stack recovers or says what to do."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import redis
from django.conf import settings as project
from django.core.exceptions import ImproperlyConfigured
from pymilvus import MilvusClient

from ragproject.embedded import services, stack
from ragproject.embedded.console import Console
from ragproject.embedded.data_folder import STATE, prepare
from ragproject.embedded.model_folder import lacking
from ragproject.embedded.preflight import StackError, only_stack_in, require_model
from ragproject.embedded.restarts import RestartLog
from ragproject.embedded.stack import Child, Stack
from ragproject.settings.secret_key import SECRET_KEY_LEAST_CHARS, read_secret_key
from tests.support.running import environment, up

pytestmark = pytest.mark.slow

NOBODY = 65534
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
# circus leaves the pipes of a process that ended by itself to the garbage collection.
leaves_pipes = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "emptied": lambda whole: b"",
    "of 50 bytes": lambda whole: whole[:50],
    "cut in half": lambda whole: whole[: len(whole) // 2],
    "another format": lambda whole: b"garbage " * 2000,
    "zeros": lambda whole: b"\0" * len(whole),
    "zeros in its middle": lambda whole: (
        whole[: len(whole) // 3] + bytes(len(whole) // 3) + whole[len(whole) // 3 * 2 :]
    ),
    "zeros at its end": lambda whole: whole + b"\0" * 4096,
}


@pytest.fixture
def folder(tmp_path: Path, settings: Any) -> Iterator[Path]:
    """Make a data folder of the embedded servers, on the default addresses."""
    settings.DATA_DIR = tmp_path
    settings.REDIS_URL = f"unix://{tmp_path}/redis/redis.sock?db=0"
    settings.MILVUS_URI = f"unix:{tmp_path}/milvus.sock"
    umask = os.umask(0o022)
    yield tmp_path
    os.umask(umask)


async def served(service: services.Service, use: Callable[[], Any], capsys: pytest.CaptureFixture[str]) -> Any:
    """Return what ``use`` returns once the service answers, and what the stack wrote meanwhile."""
    console, restart_log = Console(colour=False), RestartLog(project.DATA_DIR)
    child = Child(service, console, restart_log)
    stack = Stack([[child]], console, restart_log)
    try:
        await stack.start([child])
        return use(), capsys.readouterr().out
    finally:
        await stack.stop()


def in_redis() -> int:
    with redis.Redis.from_url(project.REDIS_URL) as client:
        found = int(client.dbsize())
        client.set("one", "x" * 1000)
        return found


def in_milvus() -> list[str]:
    client = MilvusClient(uri=project.MILVUS_URI, timeout=10)
    try:
        found = list(client.list_collections())
        if not found:
            client.create_collection("one", 8)
        return found
    finally:
        client.close()


@leaves_pipes
@pytest.mark.parametrize("damage", DAMAGES)
async def test_redis_starts_on_whatever_is_left_of_its_file(
    folder: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    await served(services.redis_server(), in_redis, capsys)
    file = folder / "redis" / "appendonly.aof"
    broken = DAMAGES[damage](file.read_bytes())
    file.write_bytes(broken)
    found, said = await served(services.redis_server(), in_redis, capsys)
    assert found in (0, 1)
    kept = list(file.parent.glob("appendonly.aof.damaged-*"))
    if damage in ("another format", "zeros", "zeros at its end"):
        assert [each.read_bytes() for each in kept] == [broken]
        assert f"{file} is damaged and was renamed to {kept[0].name}" in said
    else:  # Redis itself reads what is whole
        assert kept == []


@leaves_pipes
@pytest.mark.parametrize("damage", DAMAGES)
async def test_milvus_starts_on_whatever_is_left_of_its_file(
    folder: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    await served(services.milvus_server(), in_milvus, capsys)
    file = folder / "milvus.db"
    broken = DAMAGES[damage](file.read_bytes())
    file.write_bytes(broken)
    found, said = await served(services.milvus_server(), in_milvus, capsys)
    kept = list(folder.glob("milvus.db.damaged-*"))
    if damage in ("emptied", "zeros at its end"):  # which SQLite can read
        assert kept == []
    else:
        assert found == []
        assert [each.read_bytes() for each in kept] == [broken]
        assert "every chunk is embedded again" in said


async def test_files_that_are_whole_are_kept_when_a_server_is_killed_again_and_again(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for service, use in ((services.redis_server(), in_redis), (services.milvus_server(), in_milvus)):
        await served(service, use, capsys)
        assert service.repair(True) == ""
    assert list(folder.rglob("*.damaged-*")) == []


# --- The database, which is the truth -----------------------------------------------------------------


def on_sqlite(folder: Path) -> dict[str, str]:
    return {**environment(folder), "DATABASE_URL": f"sqlite:///{folder / 'db.sqlite3'}"}


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("database")
    command = [sys.executable, "manage.py", "migrate"]
    subprocess.run(command, cwd=project.BASE_DIR, env=on_sqlite(folder), check=True, capture_output=True)
    with closing(sqlite3.connect(folder / "db.sqlite3")) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return (folder / "db.sqlite3").read_bytes()


@pytest.mark.e2e
@pytest.mark.parametrize("damage", ["emptied", "of 50 bytes", "cut in half", "another format"])
def test_a_damaged_database_stops_the_stack_with_one_sentence(tmp_path: Path, database: bytes, damage: str) -> None:
    file = tmp_path / "db.sqlite3"
    file.write_bytes(DAMAGES[damage](database))
    before = file.read_bytes()
    done = subprocess.run(up(), env=on_sqlite(tmp_path), capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert str(file) in done.stderr.splitlines()[-1]
    assert "backup" in done.stderr
    assert file.read_bytes() == before


# --- Small files --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"", b"abc", bytes(67), b"\xff" * 67], ids=["empty", "short", "zeros", "noise"])
def test_a_damaged_secret_key_is_made_anew_with_a_warning(
    tmp_path: Path, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "secret_key"
    file.write_bytes(content)
    key = read_secret_key(file)
    assert len(key) >= SECRET_KEY_LEAST_CHARS
    assert file.read_text() == key
    assert file.stat().st_mode & 0o077 == 0
    assert f"{file} was damaged" in capsys.readouterr().err
    assert read_secret_key(file) == key
    assert capsys.readouterr().err == ""
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("content", [b"", b"not a number", b"\0" * 4096, b"99999999"])
def test_a_damaged_lock_file_keeps_nobody_out(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "up.lock").write_bytes(content)
    with only_stack_in(tmp_path):
        assert (tmp_path / "up.lock").read_text() == str(os.getpid())


def as_nobody(work: Callable[[], object]) -> str:
    """Return what an error of this work says to a user without rights."""
    ours, theirs = os.pipe()
    if child := os.fork():
        os.close(theirs)
        with os.fdopen(ours) as answer:
            said = answer.read()
        assert os.waitpid(child, 0)[1] == 0
        return said
    try:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        try:
            work()
        except (StackError, ImproperlyConfigured) as error:
            os.write(theirs, str(error).encode())
        os._exit(0)
    finally:
        os._exit(1)


@pytest.fixture
def nobodys(folder: Path) -> Iterator[Path]:
    """Make a data folder of that user, below folders that may be passed through."""
    around = Path("/tmp") / f"nobodys-{os.getpid()}"  # noqa: S108  a folder of pytest's is closed to others
    around.mkdir(mode=0o755)
    data = around / "data"
    for path in (data, data / "redis"):
        path.mkdir()
        os.chown(path, NOBODY, NOBODY)
    yield data
    shutil.rmtree(around)


@root_only
def test_a_folder_of_ones_own_is_usable(nobodys: Path) -> None:
    """Guards the tests below."""
    assert as_nobody(lambda: prepare(nobodys, Console(colour=False))) == ""


@root_only
@pytest.mark.parametrize("name", STATE)
@pytest.mark.parametrize("fault", ["of another user", "read-only"])
def test_a_file_that_cannot_be_written_is_named_with_its_owner(nobodys: Path, name: str, fault: str) -> None:
    path = nobodys / name
    if not path.exists():
        path.touch()
    os.chown(path, *((0, 0) if fault == "of another user" else (NOBODY, NOBODY)))
    path.chmod(0o700 if fault == "of another user" else 0o400)
    said = as_nobody(lambda: prepare(nobodys, Console(colour=False)))
    assert said.startswith(f"{path} cannot be read and written by this user (it belongs to")
    assert "chown" in said


@root_only
def test_a_data_folder_of_another_user_is_named(nobodys: Path) -> None:
    os.chown(nobodys, 0, 0)
    nobodys.chmod(0o755)
    assert str(nobodys) in as_nobody(lambda: prepare(nobodys, Console(colour=False)))
    said = as_nobody(lambda: prepare(nobodys / "below", Console(colour=False)))
    assert said == f"{nobodys / 'below'} cannot be used (Permission denied); set DATA_DIR to a folder of your own."


@root_only
def test_an_open_folder_of_a_user_without_a_name_is_warned_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a volume in a container, whose owner has no name there."""
    os.chown(tmp_path, 54_321, 54_321)
    tmp_path.chmod(0o755)
    umask = os.umask(0o022)
    try:
        prepare(tmp_path, Console(colour=False))
    finally:
        os.umask(umask)
    assert f"WARNING: {tmp_path} belongs to user 54321 and is open to other users" in capsys.readouterr().out


@root_only
def test_a_secret_key_of_another_user_is_named(nobodys: Path) -> None:
    (nobodys / "secret_key").touch(mode=0o600)
    assert f"{nobodys / 'secret_key'} cannot be used" in as_nobody(lambda: read_secret_key(nobodys / "secret_key"))


@pytest.mark.parametrize("mode", [0o755, 0o777, 0o750])
def test_an_open_data_folder_is_closed_once(tmp_path: Path, mode: int, capsys: pytest.CaptureFixture[str]) -> None:
    umask = os.umask(0o022)
    try:
        tmp_path.chmod(mode)
        prepare(tmp_path, Console(colour=False))
        assert tmp_path.stat().st_mode & 0o777 == 0o700
        assert "was open to other users" in capsys.readouterr().out
        prepare(tmp_path, Console(colour=False))
        assert capsys.readouterr().out == ""
        (tmp_path / "new").touch()
        assert (tmp_path / "new").stat().st_mode & 0o077 == 0
    finally:
        os.umask(umask)


# --- Models ---------------------------------------------------------------------------------------------------


@pytest.fixture
def model(model_path: Path, tmp_path: Path) -> Path:
    """Return a whole copy of the stand-in."""
    return Path(shutil.copytree(model_path, tmp_path / "bge-m3"))


@pytest.mark.parametrize(
    "name", ["config.json", "tokenizer.json", "sparse_linear.pt", "colbert_linear.pt", "model.safetensors"]
)
@pytest.mark.parametrize("fault", ["missing", "emptied"])
def test_a_model_that_was_copied_in_part_stops_the_stack_with_its_folder_and_files(
    model: Path, name: str, fault: str, settings: Any
) -> None:
    settings.EMBED_MODEL = settings.MODEL_PATH = str(model)
    require_model(Console(colour=False))
    if fault == "missing":
        (model / name).unlink()
    else:
        (model / name).write_bytes(b"")
    with pytest.raises(StackError) as refused:
        require_model(Console(colour=False))
    assert str(model) in str(refused.value)
    assert name in str(refused.value)
    assert "EMBED_MODEL" in str(refused.value)


@pytest.mark.parametrize("kept", [4, 1000, 1_000_000])
def test_weights_that_were_cut_short_are_seen(model: Path, kept: int) -> None:
    os.truncate(model / "model.safetensors", kept)
    assert lacking(model) == ["model.safetensors"]


def test_weights_of_the_other_format_are_enough(model: Path) -> None:
    (model / "model.safetensors").rename(model / "pytorch_model.bin")
    assert lacking(model) == []


@pytest.mark.parametrize("named", ["stand-in", "folder"])
def test_a_model_of_another_dimension_stops_the_stack(model: Path, named: str, settings: Any) -> None:
    settings.MODEL_PATH, settings.EMBED_DIMENSION = str(model), 100
    settings.EMBED_MODEL = settings.STAND_IN if named == "stand-in" else str(model)
    with pytest.raises(StackError, match="have 384 numbers, EMBED_DIMENSION says 100"):
        require_model(Console(colour=False))


@pytest.mark.parametrize("name", ["/nowhere/bge-m3", "./nowhere", "~/nowhere-at-all"])
def test_a_model_folder_that_is_not_there_stops_the_stack(name: str, settings: Any) -> None:
    settings.EMBED_MODEL = settings.MODEL_PATH = name
    with pytest.raises(StackError, match=r"nowhere.*does not exist\. Set EMBED_MODEL"):
        require_model(Console(colour=False))


def test_a_model_of_the_hub_that_cannot_be_had_stops_the_stack_and_the_stand_in_is_offered(settings: Any) -> None:
    settings.EMBED_MODEL = settings.MODEL_PATH = "nobody/no-such-model"
    with pytest.raises(StackError, match=r"nobody/no-such-model .* is not on this machine.*EMBED_MODEL=stand-in"):
        require_model(Console(colour=False))


def test_a_model_in_the_hubs_cache_needs_no_connection(
    model_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.EMBED_MODEL = settings.MODEL_PATH = "BAAI/bge-m3"
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda model, local_files_only: str(model_path))
    require_model(Console(colour=False))


def test_a_missing_model_is_said_before_anything_is_looked_at(settings: Any, tmp_path: Path) -> None:
    settings.DATA_DIR, settings.EMBED_MODEL, settings.MODEL_PATH = tmp_path, "nobody/none", "nobody/none"
    settings.REDIS_URL = "redis://192.0.2.1:1/0"
    with pytest.raises(StackError, match="stand-in"):
        stack.run(cpu_workers=1, with_web=True, colour=False)


@pytest.mark.e2e
@pytest.mark.parametrize("half", [False, True])
def test_the_stand_in_is_assembled_before_the_workers_start(
    tmp_path: Path, half: bool, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "models" / settings.STAND_IN
    if half:
        target.mkdir(parents=True)
        (target / "sparse_linear.pt").touch()
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "ragproject.settings")
    settings.MODEL_PATH = str(target)
    require_model(Console(colour=False))
    assert lacking(target) == []
