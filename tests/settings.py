"""The project's settings on a private data folder and private ports, so that tests never touch ``var/``."""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

from tests.support import databases
from tests.support.ports import free_port

TEST_DIR = tempfile.mkdtemp(prefix="rag-tests-")
atexit.register(shutil.rmtree, TEST_DIR, ignore_errors=True)
# The model is assembled, and converted for the CPU, once for all processes that this one starts.
if "TEST_MODELS" not in os.environ:
    os.environ["TEST_MODELS"] = tempfile.mkdtemp(prefix="rag-models-")
    atexit.register(shutil.rmtree, os.environ["TEST_MODELS"], ignore_errors=True)
Path(TEST_DIR, "models").symlink_to(os.environ["TEST_MODELS"])
os.environ.update(
    DATA_DIR=TEST_DIR,
    DATABASE_URL=databases.fresh_url(Path(TEST_DIR) / "db.sqlite3"),
    REDIS_URL=f"redis://127.0.0.1:{free_port()}/0",
    MILVUS_URI=f"http://127.0.0.1:{free_port()}",
    WEB_PORT=str(free_port()),
    CRAWL_DELAY_SECONDS="0",
    CRAWL_CONNECTIONS="0",
    SERVICE_TIMEOUT_SECONDS="20",
    # All tests are one client, and how many ask within a minute depends on the machine.
    **dict.fromkeys(("SEARCH_LIMIT", "ASK_LIMIT", "SITE_SEARCH_LIMIT", "SITE_ASK_LIMIT"), ""),
    EMBED_MODEL="stand-in",
    EMBED_DEVICE="cpu",
    HF_HUB_OFFLINE="1",
    TOKENIZERS_PARALLELISM="false",
)

from ragproject.settings import *  # noqa: E402, F403

DATABASES["snapshot"] = {**DATABASES["snapshot"], "TEST": {"MIRROR": "default"}}  # noqa: F405
# Each user that a test makes would cost a third of a second of processor time.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
