"""Heavy libraries stay out of processes that do not need them. Which module may import which, pyproject.toml says."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from django.conf import settings

pytestmark = pytest.mark.slow


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
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], cwd=settings.BASE_DIR, env=environment, check=False
    )
    assert done.returncode == 0


def test_django_admin_and_cpu_worker_do_not_load_torch() -> None:
    code = (
        "import os, sys, django\n"
        "django.setup()\n"
        "from django.contrib import admin; admin.autodiscover()\n"
        "import ragproject.urls, ingestion.tasks, ingestion.sources.registry\n"
        "from django.core.management import get_commands, load_command_class\n"
        "[load_command_class(a, n) for n, a in get_commands().items() if a in ('ingestion', 'search')]\n"
        "heavy = {'torch', 'FlagEmbedding', 'transformers', 'sentence_transformers', 'docutils'} & set(sys.modules)\n"
        "sys.exit(f'loaded: {heavy}' if heavy else 0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=settings.BASE_DIR, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
