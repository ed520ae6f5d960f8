"""``manage.py up`` with real processes: Redis, Milvus Lite, Celery, Beat and uvicorn on free ports."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import redis
import requests
from django.conf import settings

from ragproject.embedded import services
from ragproject.embedded.parent_watch import bound_to_parent
from tests.support.ports import free_port
from tests.support.running import (
    START_SECONDS,
    Running,
    command_words,
    destroy,
    environment,
    manage,
    share_model,
    start,
    up,
)

pytestmark = pytest.mark.e2e

# What the slowest service is allowed, and something for the others.
STOP_SECONDS = services.WORKER_STOP_SECONDS + 20
ORPHAN_SECONDS = 20


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    started: list[Running] = []

    def launch(*options: str) -> Running:
        started.append(start(tmp_path / "data", *options))
        return started[-1]

    yield launch
    for running in started:
        destroy(running)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Running]]:
    stacks: list[Running] = []
    yield stacks
    for stack in stacks:
        destroy(stack)


@pytest.fixture
def running(shared: list[Running], tmp_path_factory: pytest.TempPathFactory) -> Running:
    """A stack that earlier tests used too; a new one if one of them ended it."""
    if not shared or shared[-1].process.poll() is not None:
        shared.append(start(tmp_path_factory.mktemp("stack")))
    shared[-1].until(shared[-1].ready)
    return shared[-1]


def refused(variables: dict[str, str]) -> str:
    result = subprocess.run(up(), env=variables, capture_output=True, text=True, timeout=START_SECONDS)
    assert result.returncode == 1, result.stdout + result.stderr
    return result.stderr.strip().splitlines()[-1]


def still_there(tree: list[psutil.Process], seconds: float) -> list[str]:
    """Who lives after so long; a zombie has ended, whoever has not collected it."""
    deadline = time.monotonic() + seconds
    while (alive := [p for p in tree if lives(p)]) and time.monotonic() < deadline:
        time.sleep(0.05)
    return [" ".join(command_words(process)) for process in alive]


def lives(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def test_it_says_where_the_page_is_once_it_answers(running: Running) -> None:
    url = f"http://127.0.0.1:{running.environment['WEB_PORT']}/"
    assert f"ready {url}" in running.output().splitlines()
    assert requests.get(f"{url}admin/login/", timeout=30).status_code == 200


def test_its_redis_keeps_what_it_was_given(running: Running) -> None:
    with redis.Redis.from_url(running.environment["REDIS_URL"], decode_responses=True) as client:
        kept = client.config_get("append*")
        assert (kept["appendonly"], kept["appendfsync"]) == ("yes", "everysec")
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert Path(client.config_get("dir")["dir"]) == Path(running.environment["DATA_DIR"], "redis")


def test_it_listens_on_loopback_only(running: Running) -> None:
    listening = {
        (connection.laddr.ip.removeprefix("::ffff:"), str(connection.laddr.port))
        for process in running.tree()
        for connection in process.net_connections("all")
        if connection.status == psutil.CONN_LISTEN
    }
    ports = {service.rsplit(":", 1)[1].removesuffix("/0") for service in backend_urls(running)}
    assert listening == {("127.0.0.1", port) for port in {*ports, running.environment["WEB_PORT"]}}


def backend_urls(running: Running) -> list[str]:
    return [running.environment["REDIS_URL"], running.environment["MILVUS_URI"]]


def test_a_password_is_on_no_command_line(running: Running) -> None:
    assert not [word for process in running.tree() for word in process.cmdline() if "secret" in word]


def test_no_child_shares_the_terminals_process_group(running: Running) -> None:
    supervisor, *others = running.tree()
    assert os.getpgid(supervisor.pid) not in {os.getpgid(process.pid) for process in others}


def test_its_lines_carry_the_process_they_come_from_without_colour(running: Running) -> None:
    assert "redis  | " in running.output()
    assert "gpu    | " in running.output()
    assert "\033[" not in running.output()


def test_the_gpu_child_alone_is_spawned_and_torch_is_nowhere(running: Running) -> None:
    gpu, cpu = running.service("worker", "gpu"), running.service("worker", "cpu")
    assert spawned(gpu)
    assert not spawned(cpu)
    assert not [p for p in running.tree() if "libtorch" in Path(f"/proc/{p.pid}/maps").read_text()]


def spawned(worker: psutil.Process) -> list[psutil.Process]:
    return [child for child in worker.children() if "spawn_main" in " ".join(child.cmdline())]


def test_idle_for_longer_than_any_time_out_of_redis_it_says_nothing(running: Running) -> None:
    before = len(running.output())
    time.sleep(settings.CELERY_BROKER_TRANSPORT_OPTIONS["socket_timeout"] + 5)
    said = running.output()[before:]
    assert not [line for line in said.splitlines() if "ERROR" in line or "WARNING" in line or "Traceback" in line]
    assert running.ready()


def test_only_the_cpu_worker_is_kept_to_one_thread_per_child(running: Running) -> None:
    assert running.service("worker", "cpu").environ()["OMP_NUM_THREADS"] == "1"
    given = running.environment.get("OMP_NUM_THREADS")
    assert running.service("worker", "gpu").environ().get("OMP_NUM_THREADS") == given


def test_a_second_stack_on_the_same_data_is_refused_by_the_firsts_pid(running: Running, tmp_path: Path) -> None:
    message = refused({**environment(tmp_path), "DATA_DIR": running.environment["DATA_DIR"]})
    assert "already runs" in message
    assert f"process {running.process.pid}" in message


@pytest.mark.parametrize(
    ("setting", "purpose", "occupant", "words"),
    [
        ("REDIS_URL", "Redis", "redis-server", ("redis-server",)),
        ("MILVUS_URI", "Milvus", "milvus", ("milvus",)),
        ("WEB_PORT", "web", "", ("uvicorn",)),
    ],
)
def test_a_port_in_use_is_named_with_its_occupant_and_the_setting(
    running: Running, tmp_path: Path, setting: str, purpose: str, occupant: str, words: tuple[str, ...]
) -> None:
    message = refused({**environment(tmp_path), setting: running.environment[setting]})
    assert f"({purpose}) is already in use by {occupant}" in message
    assert f"(process {running.service(*words).pid})" in message
    assert f"set {setting}=" in message


def test_a_server_elsewhere_that_does_not_answer_is_named_without_its_password(tmp_path: Path) -> None:
    port = free_port()
    message = refused({**environment(tmp_path), "REDIS_URL": f"rediss://:secret@127.0.0.1:{port}/0"})
    assert f"rediss://***@127.0.0.1:{port}/0 does not answer" in message
    assert "secret" not in message


@pytest.mark.parametrize("words", [("redis-server",), ("worker", "gpu")])
def test_a_killed_process_is_started_again(running: Running, words: tuple[str, ...]) -> None:
    killed = running.service(*words)
    family = [killed, *killed.children(recursive=True)]
    killed.kill()
    assert still_there(family, ORPHAN_SECONDS) == []
    assert running.service(*words).pid != killed.pid
    assert "ended (SIGKILL); starting it again" in running.output()


def children(running: Running) -> list[psutil.Process]:
    return psutil.Process(running.process.pid).children()


def test_a_restarted_redis_still_has_what_was_queued(running: Running) -> None:
    with redis.Redis.from_url(running.environment["REDIS_URL"]) as client:
        running.until(lambda: answers(client))
        client.rpush("kept", "one")
        time.sleep(1.5)  # appendfsync everysec
        running.service("redis-server").kill()
        running.until(lambda: answers(client) and client.lrange("kept", 0, -1) == [b"one"])


def answers(client: redis.Redis) -> bool:
    with suppress(redis.RedisError):
        return bool(client.ping())
    return False


def new_beats(running: Running, gone: list[int]) -> list[psutil.Process]:
    """Look once: from its start to its exec a process has no command line that could be read."""
    return [p for p in children(running) if p.pid not in gone and "beat" in command_words(p)]


def test_a_process_that_ends_again_and_again_is_named_by_the_status_and_by_readyz(running: Running) -> None:
    gone: list[int] = []
    for _ in range(3):
        killed = running.until(lambda: new_beats(running, gone))[0]
        killed.kill()
        gone.append(killed.pid)
    running.until(lambda: new_beats(running, gone))
    status = manage(running, "status")
    assert "The process beat ended 3 times within 15 minutes (SIGKILL)" in status.stdout
    answer = requests.get(f"http://127.0.0.1:{running.environment['WEB_PORT']}/readyz", timeout=30)
    assert answer.status_code == 503
    assert "beat" in answer.text


def test_sigterm_ends_everything_with_status_0(running: Running) -> None:
    tree = running.tree()
    running.process.terminate()
    assert running.process.wait(STOP_SECONDS) == 0, running.output()
    assert still_there(tree, 0) == []
    assert "cpu    | worker: Warm shutdown" in running.output()


def test_ctrl_c_during_the_start_ends_everything_with_status_0(launch: Callable[..., Running]) -> None:
    stack = launch("--no-web")
    stack.until(lambda: spawn_child(stack))
    tree = stack.tree()
    os.killpg(stack.process.pid, signal.SIGINT)
    assert stack.process.wait(STOP_SECONDS) == 0, stack.output()
    assert still_there(tree, 0) == []


def test_a_second_ctrl_c_does_not_wait_for_a_process_that_hangs(launch: Callable[..., Running]) -> None:
    stack = launch("--no-web", "--cpu-workers", "1")
    stack.until(stack.ready)
    assert "ready" in stack.output().splitlines()
    tree = stack.tree()
    stack.service("worker", "cpu").suspend()
    os.killpg(stack.process.pid, signal.SIGINT)
    stack.until(lambda: "stopping" in stack.output())
    os.killpg(stack.process.pid, signal.SIGINT)
    assert stack.process.wait(services.WORKER_STOP_SECONDS / 2) == 0, stack.output()
    assert still_there(tree, 0) == []


@pytest.mark.parametrize("moment", ["while its children start", "when all runs"])
def test_kill_9_of_the_supervisor_leaves_no_process(launch: Callable[..., Running], moment: str) -> None:
    stack = launch("--no-web")
    stack.until(stack.ready if moment == "when all runs" else lambda: spawn_child(stack))
    tree = stack.tree()
    assert len(tree) > 6
    stack.process.kill()
    assert still_there(tree, ORPHAN_SECONDS) == []


DEMO = """
import sys, time, django
django.setup()
from pathlib import Path
from ingestion.management.commands.demo import running_stack
with running_stack(Path(sys.argv[1])):
    print("ready", flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_the_demos_stack_ends_with_the_demo_and_is_not_killed_by_ctrl_c(tmp_path: Path, number: int) -> None:
    share_model(tmp_path)
    log = tmp_path / "demo.log"
    command = bound_to_parent([sys.executable, "-c", DEMO, str(log)])
    demo = subprocess.Popen(
        command, env=environment(tmp_path), cwd=settings.BASE_DIR, stdout=subprocess.PIPE, start_new_session=True
    )
    assert demo.stdout and demo.stdout.readline() == b"ready\n", log.read_text()
    tree = psutil.Process(demo.pid).children(recursive=True)
    os.killpg(demo.pid, number)
    demo.communicate(timeout=STOP_SECONDS)
    assert still_there(tree, ORPHAN_SECONDS) == []
    assert ("Redis is now ready to exit" in log.read_text()) == (number == signal.SIGINT)


def spawn_child(stack: Running) -> bool:
    return any("spawn_main" in word for process in stack.tree() for word in command_words(process))
