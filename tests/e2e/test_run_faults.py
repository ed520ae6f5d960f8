"""Whatever is killed or emptied during a run, it ends with every chunk indexed once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from tests.conftest import wait_until
from tests.e2e.conftest import assert_index_is_exact, corpus, finished, gpu_child, started
from tests.support.running import Running

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize(
    "fault", ["gpu child", "gpu worker", "cpu worker", "index worker", "redis", "milvus", "flushall"]
)
def test_a_run_survives(fault: str, stack: Running, tmp_path: Path) -> None:
    run = started(stack, corpus(tmp_path / "faulty", 20, seed=100 + list(FAULTS).index(fault)))
    FAULTS[fault](stack)
    figures = finished(run)
    assert (figures["indexed"], figures["failed"]) == (20, 0)
    assert_index_is_exact(stack)


def kill_gpu_child(stack: Running) -> None:
    old = gpu_child(stack)
    old.kill()
    wait_until(lambda: gpu_child(stack).pid != old.pid)


def flush(stack: Running) -> None:
    with redis.Redis.from_url(stack.environment["REDIS_URL"]) as client:
        client.flushall()


FAULTS: dict[str, Callable[[Running], object]] = {
    "gpu child": kill_gpu_child,
    "gpu worker": lambda stack: stack.service("worker", "gpu").kill(),
    "cpu worker": lambda stack: stack.service("worker", "cpu").kill(),
    "index worker": lambda stack: stack.service("worker", "index").kill(),
    "redis": lambda stack: stack.service("redis-server").kill(),
    "milvus": lambda stack: stack.service("milvus").kill(),
    "flushall": flush,
}
