"""The one-way import rule, and heavy libraries that stay out of processes that do not embed."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HTTP_CLIENTS = {
    *("requests", "urllib3", "urllib.request", "http.client", "httpx", "httpcore", "httplib2", "aiohttp"),
    *("pycurl", "curl_cffi", "websockets", "xmlrpc", "ftplib", "smtplib", "telnetlib", "paramiko"),
}
SPEAKS_HTTP = {
    "ingestion/fetching/fetcher.py",
    "ingestion/fetching/http_session.py",
    "ingestion/fetching/responses.py",
    "ingestion/fetching/urls.py",
}
OPENS_CONNECTIONS = {
    *("socket.socket", "socket.create_connection", "asyncio.open_connection", "urllib.request.urlopen"),
    *("socket.getaddrinfo", "socket.gethostbyname", "ssl.wrap_socket"),
}


def modules(*folders: str) -> Iterator[tuple[str, set[str]]]:
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            if "migrations" not in path.parts:
                yield str(path.relative_to(ROOT)), set(imported(path))


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def calls(path: Path) -> set[str]:
    tree = ast.walk(ast.parse(path.read_text()))
    return {ast.unparse(node.func) for node in tree if isinstance(node, ast.Call)}


def under(names: set[str], *packages: str) -> set[str]:
    return {n for n in names for p in packages if n == p or n.startswith(f"{p}.")}


def test_ingestion_never_imports_search() -> None:
    assert {m: found for m, names in modules("ingestion") if (found := under(names, "search"))} == {}


def test_ragproject_imports_neither_application() -> None:
    found = {m: under(names, "ingestion", "search") for m, names in modules("ragproject")}
    assert {m: names for m, names in found.items() if names} == {}


def test_pipeline_never_imports_tasks() -> None:
    for module, names in modules("ingestion/pipeline"):
        assert under(names, "ingestion.tasks", "celery") == set(), module


def test_only_the_fetcher_speaks_http_to_the_outside() -> None:
    for module, names in modules("ingestion", "search", "ragproject"):
        if module not in SPEAKS_HTTP:
            assert under(names, *HTTP_CLIENTS) == set(), module


def test_only_the_guard_opens_connections_and_looks_up_names() -> None:
    guards = {"ingestion/fetching/ssrf_guard.py", "ingestion/fetching/dns.py"}
    found = {m: calls(ROOT / m) & OPENS_CONNECTIONS for m, _ in modules("ingestion", "search") if m not in guards}
    # The twin of a connection that netguard opened.
    twins = {m: names for m, names in found.items() if names}
    assert twins == {"ingestion/fetching/http_session.py": {"socket.socket"}}


def test_no_other_program_is_run_that_might_download() -> None:
    runners = {"os.system", "os.popen", "os.execvp", "os.posix_spawn", "asyncio.create_subprocess_exec"}
    ourselves = {  # they start Python
        "ingestion/management/commands/demo.py",
        "ingestion/benchmarks/django_docs.py",
        "ingestion/extraction/pdf/reader.py",
        "ingestion/benchmarks/processes.py",
    }
    for module, names in modules("ingestion", "search"):
        if module in ourselves:
            continue
        assert under(names, "subprocess", "pty", "pexpect") | calls(ROOT / module) & runners == set(), module


def test_a_worker_that_drains_loads_neither_pandas_nor_arrow_and_can_still_import_them() -> None:
    code = (
        "import sys, django; django.setup()\n"
        "from ingestion.vector_store.store import import_without_pandas, open_store\n"
        "import_without_pandas()\n"
        "assert 'pymilvus' in sys.modules\n"
        "assert not {'pandas', 'pandas.api', 'pyarrow'} & set(sys.modules), sorted(sys.modules)\n"
        "import pandas; pandas.DataFrame({'a': [1]})\n"
    )
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"}
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], cwd=ROOT, env=environment, check=False)
    assert done.returncode == 0


def test_only_the_vector_store_speaks_to_milvus_and_never_inserts() -> None:
    for module, names in modules("ingestion", "search"):
        if module not in ("ingestion/vector_store/store.py", "ingestion/vector_store/client.py"):
            assert under(names, "pymilvus") == set(), module
    assert ".insert(" not in (ROOT / "ingestion/vector_store/store.py").read_text()


def test_only_settings_read_the_environment_and_through_one_reader() -> None:
    starters = {"ragproject/asgi.py", "ragproject/celery.py"}
    for module, names in modules("ingestion", "search", "ragproject"):
        text = (ROOT / module).read_text()
        if module in starters:
            continue
        if module != "ragproject/environment.py":  # whose readings say what they mean
            assert not names & {"environs.Env", "environs.env", "dotenv"}, module
        assert "os.getenv" not in text, module
        assert "environ[" not in text, module
        assert "environ.get" not in text, module


def test_django_admin_and_cpu_worker_do_not_load_torch() -> None:
    code = (
        "import os, sys, django\n"
        "django.setup()\n"
        "from django.contrib import admin; admin.autodiscover()\n"
        "import ragproject.urls, ingestion.tasks, ingestion.sources.registry\n"
        "from django.core.management import get_commands, load_command_class\n"
        "[load_command_class(a, n) for n, a in get_commands().items() if a in ('ingestion', 'search')]\n"
        "heavy = {'torch', 'FlagEmbedding', 'transformers', 'sentence_transformers'} & set(sys.modules)\n"
        "sys.exit(f'loaded: {heavy}' if heavy else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
