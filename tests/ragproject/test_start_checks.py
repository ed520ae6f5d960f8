"""What ends a process at its start, and what production settings leave to say."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings as project
from django.core.exceptions import ImproperlyConfigured
from pytest_django import Settings

from ragproject.settings.secret_key import require_secret
from ragproject.start_checks import require_checks

PRODUCTION = {
    "SECRET_KEY": "0123456789abcdef" * 4,
    "ALLOWED_HOSTS": "docs.example.org",
    "BEHIND_HTTPS": "true",
    "TRUSTED_PROXIES": "10.0.0.1",
    "DJANGO_SETTINGS_MODULE": "ragproject.settings",
}


def manage(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **PRODUCTION, "DATA_DIR": str(folder), **variables}
    command = [sys.executable, "manage.py", *arguments]
    return subprocess.run(command, cwd=project.BASE_DIR, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_production_settings_leave_nothing_to_say(tmp_path: Path, model_path: Path) -> None:
    (tmp_path / "models").symlink_to(model_path.parent)
    done = manage(tmp_path, "check", "--deploy", "--fail-level", "WARNING")
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_a_site_for_others_without_tls_is_warned_of(tmp_path: Path) -> None:
    done = manage(tmp_path, "check", "--deploy", BEHIND_HTTPS="false")
    assert "SESSION_COOKIE_SECURE" in done.stderr


@pytest.mark.parametrize("key", ["", "changeme", "x" * 64, "django-insecure-" + "0123456789abcdef" * 4])
def test_a_key_that_can_be_guessed_is_refused(key: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="openssl rand"):
        require_secret(key)


@pytest.mark.slow
def test_nothing_starts_with_the_key_of_an_example(tmp_path: Path) -> None:
    assert "SECRET_KEY can be guessed" in manage(tmp_path, "check", SECRET_KEY="changeme").stderr
    assert manage(tmp_path, "check", SECRET_KEY="changeme", DEBUG="true").returncode == 0


def test_a_milvus_that_anybody_can_use_ends_the_process(settings: Settings) -> None:
    settings.MILVUS_URI = "http://milvus.example.org:19530"
    with pytest.raises(SystemExit, match=r"does not start(.|\n)*MILVUS_TOKEN"):
        require_checks()
    settings.MILVUS_TOKEN = "root:secret"
    require_checks()


def test_an_anonymous_milvus_that_is_meant_is_a_warning(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    settings.MILVUS_URI, settings.MILVUS_ANONYMOUS = "http://milvus.example.org:19530", True
    require_checks()
    assert "without a password" in caplog.text
