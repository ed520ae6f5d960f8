"""The embedded Redis and Milvus alone, for commands that need them while the stack does not run."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from django.conf import settings

from ragproject.embedded import services
from ragproject.embedded.console import Console
from ragproject.embedded.data_folder import prepare
from ragproject.embedded.parent_watch import bound_to_parent
from ragproject.embedded.preflight import StackError, only_stack_in, require_free
from ragproject.embedded.restarts import stack_runs
from ragproject.embedded.services import Service

READY_SECONDS = 120.0
LOOK_SECONDS = 0.1


@contextmanager
def backends_running(console: Console) -> Iterator[None]:
    """Run the embedded servers while the block runs, unless the stack runs them already or the URLs name others.

    No stack can start on the data folder meanwhile. Raises StackError where one of them does not answer.
    """
    if stack_runs(settings.DATA_DIR):
        yield
        return
    prepare(settings.DATA_DIR, console)
    with only_stack_in(settings.DATA_DIR), ExitStack() as started:
        for service in services.backends():
            if service.listens:
                require_free(service.listens)
            service.repair(False)
            started.enter_context(running(service))
        yield


@contextmanager
def running(service: Service) -> Iterator[None]:
    """Run one server, ready when the block begins and ended after it."""
    environment = {**os.environ, **service.environment}
    process = subprocess.Popen(  # noqa: S603
        bound_to_parent(service.command), cwd=service.directory, env=environment, stdout=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + READY_SECONDS
        while trouble := service.trouble():
            if process.poll() is not None or time.monotonic() > deadline:
                raise StackError(f"{service.name} does not start: {trouble}")
            time.sleep(LOOK_SECONDS)
        yield
    finally:
        process.terminate()
        try:
            process.wait(service.stop_seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
