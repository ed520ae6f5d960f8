"""Real web servers over one index, for clients that programs use: with a language model, without, and closed."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import stop, wait_until
from tests.support import search_services
from tests.support.ports import free_port
from tests.support.search_services import ModelServer

MAKE_KEYS = """
import django, json
django.setup()
from ingestion.models import Source
from tests.support.callers import make_key
handbook = Source.objects.get(name="Handbook")
fields = {"all": {}, "searching": {"can_ask": False}, "handbook": {"sources": (handbook,)}}
print(json.dumps({name: make_key(name, **options) for name, options in fields.items()}))
"""


@dataclass(frozen=True)
class ProgramSites:
    """Addresses of servers, the language model of the first, keys by name, and what the processes read.

    The last server lets nobody in without a key.
    """

    generating: str
    extracting: str
    closed: str
    model: ModelServer
    keys: dict[str, str]
    environment: dict[str, str]


@pytest.fixture(scope="module")
def sites(milvus_server: str, model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProgramSites]:
    database = tmp_path_factory.mktemp("programs") / "db.sqlite3"
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "ragproject.settings",
        "DATABASE_URL": f"sqlite:///{database}",
        "LLM_BASE_URL": "",
        "ANSWER_CACHE_SECONDS": "0",
    }
    subprocess.run([sys.executable, "-m", "tests.support.search_services"], env=environment, check=True)
    made = subprocess.run([sys.executable, "-c", MAKE_KEYS], env=environment, check=True, stdout=subprocess.PIPE)
    search_services.write_vectors()
    with ExitStack() as stack:
        model = stack.enter_context(search_services.model_server())
        generating = serve(stack, {**environment, "LLM_BASE_URL": model.url, "LLM_MODEL": "stub"})
        extracting = serve(stack, environment)
        closed = serve(stack, {**environment, "ANONYMOUS_ACCESS": "page"})
        yield ProgramSites(generating, extracting, closed, model, json.loads(made.stdout), environment)


@pytest.fixture
def site(sites: ProgramSites) -> ProgramSites:
    """The servers, with the language model as it is at first."""
    first = ModelServer()
    sites.model.behaviour, sites.model.pieces, sites.model.delay = first.behaviour, first.pieces, first.delay
    sites.model.requests.clear()
    sites.model.hung_up.clear()
    return sites


def serve(stack: ExitStack, environment: dict[str, str]) -> str:
    """Start a web process, and wait until something can connect to it."""
    port = free_port()
    options = ("--port", str(port), "--lifespan", "on", "--log-level", "warning")
    command = (sys.executable, "-m", "uvicorn", "ragproject.asgi:application", *options)
    process = subprocess.Popen(command, env=environment)
    stack.callback(stop, process)
    wait_until(lambda: listens(process, port))
    return f"http://127.0.0.1:{port}"


def listens(process: subprocess.Popen[bytes], port: int) -> bool:
    assert process.poll() is None, "the web process ended"
    with socket.create_connection(("127.0.0.1", port), 1):
        return True
