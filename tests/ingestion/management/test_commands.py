"""Commands where something that they need is not there: one clear line, no traceback."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings

pytestmark = pytest.mark.slow


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "ragproject.settings",
        "DATA_DIR": str(folder),
        "DATABASE_URL": f"sqlite:///{folder}/db.sqlite3",
        "MILVUS_URI": "http://127.0.0.1:9",
        "REDIS_URL": "redis://127.0.0.1:9/0",
    }
    command = [sys.executable, "-W", "ignore", "manage.py", *arguments]
    return subprocess.run(command, cwd=settings.BASE_DIR, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("arguments", [("ingest", "."), ("status",), ("search", "x"), ("ask", "x")])
def test_a_database_without_tables_is_named_with_what_to_do(arguments: tuple[str, ...], tmp_path: Path) -> None:
    done = run(tmp_path, *arguments)
    assert done.returncode == 1
    assert "manage.py migrate" in done.stderr
    assert "Traceback" not in done.stderr


def test_status_without_services_names_them_and_still_answers(tmp_path: Path) -> None:
    assert run(tmp_path, "migrate").returncode == 0
    done = run(tmp_path, "status")
    assert done.returncode == 0
    assert not re.search(r" error(,|$)", done.stdout, re.MULTILINE)
    assert "Redis does not answer" in done.stdout
    assert "documents  none" in done.stdout


def test_a_setting_of_the_wrong_type_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEB_PORT", "many")
    assert "WEB_PORT" in run(tmp_path, "check").stderr


def test_ctrl_c_ends_a_command_without_a_traceback(tmp_path: Path) -> None:
    code = "import os, signal, time; os.kill(os.getpid(), signal.SIGINT); time.sleep(60)"
    done = run(tmp_path, "shell", "--command", code)
    assert (done.returncode, done.stderr) == (130, "")
