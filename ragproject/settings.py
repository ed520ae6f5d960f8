"""Every setting of the project, and the only reader of the environment.

Variables may also stand in a ``.env`` file beside ``manage.py``; the environment wins. A value of the
wrong type stops the process with the variable's name. Durations are seconds and sizes bytes
unless the name says otherwise. The README's table explains each variable to those who run this.
"""

from __future__ import annotations

import os
import secrets
import sys
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlencode, urlsplit

import django_stubs_ext
from django.core.exceptions import ImproperlyConfigured
from environs import Env, validate
from kombu import Queue

django_stubs_ext.monkeypatch()  # ModelAdmin[Source] and the like, which mypy needs, work at run time too

BASE_DIR = Path(__file__).resolve().parent.parent

env = Env()
env.read_env(str(BASE_DIR / ".env"), recurse=False)


# Fewer characters than this are what a full disk or a power cut left of a key; one that we make has 67.
SECRET_KEY_LEAST_CHARS = 50


def read_secret_key(path: Path) -> str:
    """Return ``SECRET_KEY``, or the key made on first use and kept readable by its owner only."""
    if given := env.str("SECRET_KEY", ""):
        return given
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if path.exists():
            remove_damaged(path)
        if not path.exists():
            make_secret_key(path)
        return path.read_text()
    except OSError as error:
        raise ImproperlyConfigured(
            f"{error.filename or path} cannot be used ({error.strerror}). Set DATA_DIR to a folder of the user who "
            "runs this, or give the files back to that user (chown -R)."
        ) from error


def remove_damaged(path: Path) -> None:
    """Delete a file that holds no whole key, and say so."""
    key = path.read_bytes().strip()
    if len(key) < SECRET_KEY_LEAST_CHARS or not key.isascii() or not key.decode().isprintable():
        path.unlink()
        sys.stderr.write(f"WARNING: {path} was damaged and is made anew; everybody has to log in again.\n")


def make_secret_key(path: Path) -> None:
    """Write a new key in one step; when another process is first, its key counts."""
    fresh = path.with_suffix(f".{secrets.token_hex(4)}")
    fresh.touch(mode=0o600)
    with fresh.open("w") as file:
        file.write(secrets.token_urlsafe(50))
        file.flush()
        os.fsync(file.fileno())
    with suppress(FileExistsError):
        path.hardlink_to(fresh)
    fresh.unlink()


def broker_url(url: str) -> str:
    """Return Redis' URL in the form that kombu knows, which for a Unix socket is another one than redis-py's."""
    parts = urlsplit(url)
    if parts.scheme != "unix":
        return url
    query = parse_qs(parts.query)
    password = parts.password or quote(query.get("password", [""])[0], safe="")
    user = f"{parts.username or ''}:{password}@" if password else ""
    return f"redis+socket://{user}{parts.path}?{urlencode({'virtual_host': query.get('db', ['0'])[0]})}"


def socket_path(url: str) -> Path | None:
    """Return the path of the Unix socket that a service's URL names, if it names one."""
    parts = urlsplit(url)
    return Path(unquote(parts.path)) if parts.scheme == "unix" else None


def is_embedded(url: str) -> bool:
    """Return whether the embedded stack runs the service at ``url``: on a socket below DATA_DIR or on loopback."""
    path = socket_path(url)
    if path is not None:
        return path.is_relative_to(DATA_DIR)
    return urlsplit(url).hostname in {"127.0.0.1", "localhost", "::1"}


# --- Where things are ------------------------------------------------------------------------

DATA_DIR = Path(env.str("DATA_DIR", str(BASE_DIR / "var"))).resolve()
DATABASE_URL = env.str("DATABASE_URL", f"sqlite:///{DATA_DIR / 'db.sqlite3'}")
# The embedded servers listen on Unix sockets that only the owner of DATA_DIR can reach: whoever can connect to them can
# read and change everything.
REDIS_URL = env.str("REDIS_URL", "") or f"unix://{quote(str(DATA_DIR / 'redis' / 'redis.sock'))}?db=0"
MILVUS_URI = env.str("MILVUS_URI", "") or f"unix:{quote(str(DATA_DIR / 'milvus.sock'))}"
MILVUS_TOKEN = env.str("MILVUS_TOKEN", "")
# A page or a command waits this long for Redis or Milvus before it says that there is no answer; both answer within
# milliseconds. Workers wait longer.
SERVICE_TIMEOUT_SECONDS = env.float("SERVICE_TIMEOUT_SECONDS", 2.0, validate=validate.Range(0.1, 60))
MILVUS_COLLECTION = env.str("MILVUS_COLLECTION", "documents", validate=validate.Regexp(r"^[A-Za-z_]\w{0,99}$"))

# --- Django ------------------------------------------------------------------------------------

DEBUG = env.bool("DEBUG", False)
SECRET_KEY = read_secret_key(DATA_DIR / "secret_key")
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", ["127.0.0.1", "localhost", "[::1]"])
CSRF_TRUSTED_ORIGINS: list[str] = env.list("CSRF_TRUSTED_ORIGINS", [])
BEHIND_HTTPS = env.bool("BEHIND_HTTPS", False)
WEB_HOST = env.str("WEB_HOST", "127.0.0.1")
WEB_PORT = env.int("WEB_PORT", 8000, validate=validate.Range(1, 65535))
# Addresses or networks whose X-Forwarded-For is believed; everybody else could write into it what they like.
TRUSTED_PROXIES: list[str] = env.list("TRUSTED_PROXIES", [])

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "servestatic.runserver_nostatic",
    "django.contrib.staticfiles",
    "axes",
    "ingestion",
    "search",
]

MIDDLEWARE = [
    "search.api_errors.json_errors",
    "django.middleware.security.SecurityMiddleware",
    "servestatic.middleware.ServeStaticMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "axes.middleware.AxesMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

ROOT_URLCONF = "ragproject.urls"
ASGI_APPLICATION = "ragproject.asgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
LANGUAGE_CODE = "en-us"
TIME_ZONE = env.str("TIME_ZONE", "UTC")
USE_TZ = True
STATIC_URL = "static/"
STATIC_ROOT = DATA_DIR / "static"
SERVESTATIC_USE_FINDERS = True
X_FRAME_OPTIONS = "DENY"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = BEHIND_HTTPS
SECURE_HSTS_SECONDS = 31_536_000 if BEHIND_HTTPS else 0
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if BEHIND_HTTPS else None
SECURE_REFERRER_POLICY = "same-origin"

# Wrong passwords within LOGIN_LOCK_SECONDS that lock an account for one address, an address, and an account for
# addresses that are new to it; see ``logins``. 50 a quarter of an hour are 4 800 guesses a day, from any number of
# addresses.
LOGIN_LOCK_SECONDS = env.int("LOGIN_LOCK_SECONDS", 900, validate=validate.Range(1, 86_400))
LOGIN_FAILURES_PER_PAIR = env.int("LOGIN_FAILURES_PER_PAIR", 5, validate=validate.Range(1))
LOGIN_FAILURES_PER_ADDRESS = env.int("LOGIN_FAILURES_PER_ADDRESS", 20, validate=validate.Range(1))
LOGIN_FAILURES_PER_ACCOUNT = env.int("LOGIN_FAILURES_PER_ACCOUNT", 50, validate=validate.Range(1))
AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "django.contrib.auth.backends.ModelBackend"]
AXES_HANDLER = "ragproject.logins.LoginLimits"
AXES_LOCKOUT_CALLABLE = "ragproject.logins.locked_page"
AXES_CLIENT_STR_CALLABLE = "ragproject.logins.described"
AXES_CLIENT_IP_CALLABLE = "ragproject.clients.client_of"
AXES_COOLOFF_TIME = timedelta(seconds=LOGIN_LOCK_SECONDS)
AXES_FAILURE_LIMIT = 1  # the handler counts 1 when any of the limits is reached
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]  # what a successful login forgets
AXES_RESET_ON_SUCCESS = True
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'none'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "img-src": ["'self'"],
        "font-src": ["'self'"],
        "connect-src": ["'self'"],
        "form-action": ["'self'"],
        "base-uri": ["'none'"],
        "frame-ancestors": ["'none'"],
    }
}


def database_settings(url: str) -> dict[str, Any]:
    """Django's ``DATABASES["default"]``. SQLite gets what several writing processes need: a
    write-ahead log, transactions that lock at their start, and patience for the lock."""
    config: dict[str, Any] = env.dj_db_url("DATABASE_URL", url)
    if config["ENGINE"] == "django.db.backends.sqlite3":
        config["OPTIONS"] = {
            "transaction_mode": "IMMEDIATE",
            "timeout": 60,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        }
    return config


DATABASES = {"default": database_settings(DATABASE_URL)}

# --- Sources and fetching ------------------------------------------------------------------------

USER_AGENT = env.str("USER_AGENT", "ragproject/0.1 (+documentation ingestion; set USER_AGENT to name a contact)")
# Networks that the fetcher may reach although they are not public, for example "10.1.0.0/16".
FETCH_PRIVATE_NETWORKS: list[str] = env.list("FETCH_PRIVATE_NETWORKS", [])
FETCH_PORTS = env.list("FETCH_PORTS", [80, 443], subcast=int)
FETCH_TIMEOUT_SECONDS = env.float("FETCH_TIMEOUT_SECONDS", 30.0)
FETCH_MAX_BYTES = env.int("FETCH_MAX_BYTES", 10 * 1024 * 1024)
# A file of certificates to trust beside the public ones, for an intranet with its own authority.
FETCH_CA_BUNDLE = env.str("FETCH_CA_BUNDLE", "")
# Per host, over all workers, unless the source or the site's robots.txt says otherwise. Four requests a second on
# two connections is what a reader who opens pages in tabs does.
CRAWL_DELAY_SECONDS = env.float("CRAWL_DELAY_SECONDS", 0.25, validate=validate.Range(0, 3600))
CRAWL_CONNECTIONS = env.int("CRAWL_CONNECTIONS", 2, validate=validate.Range(0, 1000))
GITHUB_API_URL = env.str("GITHUB_API_URL", "https://api.github.com")
GITHUB_TOKEN = env.str("GITHUB_TOKEN", "")
GITHUB_MAX_ARCHIVE_BYTES = env.int("GITHUB_MAX_ARCHIVE_BYTES", 1024 * 1024 * 1024)
UPLOAD_MAX_BYTES = env.int("UPLOAD_MAX_BYTES", 200 * 1024 * 1024)
DATA_UPLOAD_MAX_NUMBER_FILES = 1000  # Django's 100 is fewer than a folder of notes has
# Folders that staff may name as a source in the admin; the command line is not bound by it.
FILES_ROOTS: list[Path] = env.list("FILES_ROOTS", [], subcast=lambda p: Path(p).resolve())

# --- Chunks and the model --------------------------------------------------------------------------

# PyTorch's threads on a CPU sleep while they wait for each other, unless the environment says otherwise. They would
# spin: beside other work on two cores that is 1 000 tokens/s instead of 2 300 for the stand-in, alone 5 180 instead of
# 5 030.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# "stand-in" is a small English model that `manage.py standin_model` assembles from a package.
STAND_IN = "stand-in"
EMBED_MODEL = env.str("EMBED_MODEL", "BAAI/bge-m3")
MODEL_PATH = str(DATA_DIR / "models" / STAND_IN) if EMBED_MODEL == STAND_IN else EMBED_MODEL
EMBED_POOLING = env.str(
    "EMBED_POOLING", "mean" if EMBED_MODEL == STAND_IN else "cls", validate=validate.OneOf(["cls", "mean"])
)
EMBED_DIMENSION = env.int("EMBED_DIMENSION", 384 if EMBED_MODEL == STAND_IN else 1024)
EMBED_DEVICE = env.str("EMBED_DEVICE", "auto", validate=validate.Regexp(r"^(auto|cpu|mps|cuda(:\d+)?)$"))
QUERY_DEVICE = env.str("QUERY_DEVICE", "cpu", validate=validate.Regexp(r"^(auto|cpu|mps|cuda(:\d+)?)$"))
EMBED_DTYPE = env.str(
    "EMBED_DTYPE", "auto", validate=validate.OneOf(["auto", "float32", "float16", "bfloat16", "int8"])
)
# Fuses what lies between the matrix products, for minutes of compiling at the first batches.
EMBED_COMPILE = env.bool("EMBED_COMPILE", False)
# GeForce cards multiply float16 twice as fast when sums are float16, too: less exact.
EMBED_FP16_ACCUMULATION = env.bool("EMBED_FP16_ACCUMULATION", False)
# The model's files must have this SHA-256 (what they have is in the message that refuses them); empty: any.
EMBED_MODEL_SHA256 = env.str("EMBED_MODEL_SHA256", "")
# Tokens in one forward pass, without padding. 0 chooses by device: 1 024 for each core of a CPU, 512 in
# int8, and 16 384 on CUDA (the default of text-embeddings-inference).
EMBED_BATCH_TOKENS = env.int("EMBED_BATCH_TOKENS", 0)
# Tokens of chunks taken from the rows at once at most, sorted by length before they are cut into batches; less where
# that would be more than 4 s of work. 500 000 are 3 000 chunks, 0.5 s of one H200 at half its limit.
EMBED_CLAIM_TOKENS = env.int("EMBED_CLAIM_TOKENS", 500_000, validate=validate.Range(1000, 2_000_000))
# A batch that takes longer will not come back, because a driver or a card hangs: the process is replaced. The longest
# that there is, one text of 8 192 tokens for BGE-M3, is 11.6 TFLOP: 230 s of a core with 50 GFLOP/s.
EMBED_TIME_LIMIT_SECONDS = env.float("EMBED_TIME_LIMIT_SECONDS", 600.0, validate=validate.Range(1, 86_400))
CHUNK_TOKENS = env.int("CHUNK_TOKENS", 320, validate=validate.Range(32, 8192))

# --- Buffer, index and dispatch ----------------------------------------------------------------------

EMBEDDINGS_KEY = env.str("EMBEDDINGS_KEY", "embeddings")
EMBEDDINGS_FLUSH_SECONDS = env.float("EMBEDDINGS_FLUSH_SECONDS", 60.0)
# Rows of one upsert; 1 000 rows of 1 024 dimensions and 1.5 KB of text are about 6 MB, far below
# Milvus' 64 MB message limit.
EMBEDDINGS_BATCH_ROWS = env.int("EMBEDDINGS_BATCH_ROWS", 1000, validate=validate.Range(1, 5000))
# The embedder pauses at this and goes on at half of it: 14 000 records at most, 5 to 10 s of Milvus' writes that a
# small source stands behind.
EMBEDDINGS_MAX_BYTES = env.int("EMBEDDINGS_MAX_BYTES", 64 * 1024 * 1024)

# The index is compared with the rows, key by key, and mended: 15 s for 100 000 chunks on two busy cores.
AUDIT_SECONDS = env.float("AUDIT_SECONDS", 86_400.0, validate=validate.Range(60))
# How often it is looked whether an audit is due: the last one's time stands in the database, Beat keeps none.
AUDIT_LOOK_SECONDS = 60.0

DISPATCH_SECONDS = env.float("DISPATCH_SECONDS", 2.0)
MAX_DOCUMENTS_IN_FLIGHT = env.int("MAX_DOCUMENTS_IN_FLIGHT", 64)
# Fetching pauses above this many chunks waiting for the embedder.
MAX_CHUNKS_WAITING = env.int("MAX_CHUNKS_WAITING", 20_000)
# After a passing trouble a document is tried again, first after about this long, then twice as long each time.
RETRY_SECONDS = env.float("RETRY_SECONDS", 5.0)
MAX_ATTEMPTS = env.int("MAX_ATTEMPTS", 4, validate=validate.Range(1, 20))
# A document that is queued but not started, or a claimed chunk, may be handed out again after this.
LEASE_SECONDS = env.int("LEASE_SECONDS", 60)
PAGE_TIME_LIMIT_SECONDS = env.int("PAGE_TIME_LIMIT_SECONDS", 90)
# A listing may read a hundred sitemaps, each in its turn.
LIST_TIME_LIMIT_SECONDS = env.int("LIST_TIME_LIMIT_SECONDS", 300)

# --- Answering -----------------------------------------------------------------------------------------

LLM_BASE_URL = env.str("LLM_BASE_URL", "")
LLM_API_KEY = env.str("LLM_API_KEY", "")
LLM_MODEL = env.str("LLM_MODEL", "")
LLM_MAX_TOKENS = env.int("LLM_MAX_TOKENS", 700)
LLM_TIMEOUT_SECONDS = env.float("LLM_TIMEOUT_SECONDS", 60.0)
# Characters of passages that the language model is given; 12 000 are about 3 000 tokens of English, which
# leaves room for the answer in a window of 4 096.
LLM_CONTEXT_CHARS = env.int("LLM_CONTEXT_CHARS", 12_000, validate=validate.Range(500, 1_000_000))
ANSWER_PASSAGES = env.int("ANSWER_PASSAGES", 5, validate=validate.Range(1, 20))
QUESTION_MAX_CHARS = env.int("QUESTION_MAX_CHARS", 2000)
# What is embedded of a question: its first so many tokens, about 190 words of English. Time grows with them, 50 ms on
# two cores with the stand-in.
QUESTION_MAX_TOKENS = env.int("QUESTION_MAX_TOKENS", 256, validate=validate.Range(8, 8192))
# In one web process. A client is an IPv4 address or an IPv6 network of /64.
QUESTIONS_WAITING_PER_CLIENT = env.int("QUESTIONS_WAITING_PER_CLIENT", 16, validate=validate.Range(1))
QUESTIONS_WAITING = env.int("QUESTIONS_WAITING", 128, validate=validate.Range(1))
LLM_ANSWERS_PER_CLIENT = env.int("LLM_ANSWERS_PER_CLIENT", 8, validate=validate.Range(1))
LLM_ANSWERS = env.int("LLM_ANSWERS", 64, validate=validate.Range(1))
# Requests of any kind; each may hold a thread and a connection to the database.
OPEN_REQUESTS_PER_CLIENT = env.int("OPEN_REQUESTS_PER_CLIENT", 64, validate=validate.Range(1))
OPEN_REQUESTS = env.int("OPEN_REQUESTS", 256, validate=validate.Range(1))

# --- Celery: a queue for each kind of worker ---------------------------------------------------------------

CPU_WORKERS = env.int("CPU_WORKERS", 2, validate=validate.Range(1, 256))
CELERY_BROKER_URL = broker_url(REDIS_URL)
# The drain has a process of its own: with Milvus' client and a batch of vectors a process grows by 38 MB, which
# every CPU worker would (106 MB without), and a drain behind slow pages would make the embedder wait.
CELERY_TASK_QUEUES = [Queue("cpu"), Queue("gpu"), Queue("index")]
CELERY_TASK_DEFAULT_QUEUE = "cpu"
CELERY_TASK_ROUTES = {
    "ingestion.tasks.embed": {"queue": "gpu"},
    "ingestion.tasks.drain": {"queue": "index"},
    "ingestion.tasks.fill": {"queue": "index"},
    "ingestion.tasks.audit": {"queue": "index"},
}
# Redis transport: 0 is served first. Beat's small jobs must not wait behind ten thousand pages.
PRIORITY_URGENT, PRIORITY_NORMAL = PRIORITY_STEPS = [0, 6]
CELERY_TASK_DEFAULT_PRIORITY = PRIORITY_NORMAL
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
# Messages with a countdown are held in memory; ours wait a host's turn of at most 10 s, longer waits are rows.
CELERY_WORKER_ETA_TASK_LIMIT = 1000
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = True
CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT = 10.0
# Importing FlagEmbedding and loading the model takes 7 s with the stand-in and up to a minute with
# BGE-M3 from a cold disk; Celery's default of 4 s would kill every replacement child for ever.
CELERY_WORKER_PROC_ALIVE_TIMEOUT = 180.0
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
# A Redis that refuses writes (a full disk, a full memory) would end every worker each time it is started.
CELERY_BROKER_CHANNEL_ERROR_RETRY = True
CELERY_BROKER_POOL_ACQUIRE_TIMEOUT = 5
# Longer than any task may run, twice over; rows carry leases, so redelivery is a convenience.
VISIBILITY_TIMEOUT_SECONDS = 3600
CELERY_VISIBILITY_TIMEOUT = VISIBILITY_TIMEOUT_SECONDS
CELERY_BROKER_TRANSPORT_OPTIONS: dict[str, Any] = {
    "visibility_timeout": VISIBILITY_TIMEOUT_SECONDS,
    "unacked_restore_interval": 5,
    "unacked_restore_throttle": 1,
    "unacked_mutex_expire": 30,
    "queue_order_strategy": "priority",
    "priority_steps": PRIORITY_STEPS,
    "socket_timeout": 30,
    "socket_connect_timeout": 5,
    "socket_keepalive": True,
    "health_check_interval": 15,
}
CELERY_BEAT_SCHEDULER = "ragproject.beat:Scheduler"
CELERY_BEAT_SCHEDULE = {
    "dispatch": {
        "task": "ingestion.tasks.dispatch",
        "schedule": DISPATCH_SECONDS,
        "options": {"priority": PRIORITY_URGENT, "expires": max(DISPATCH_SECONDS, 5)},
    },
    "drain": {
        "task": "ingestion.tasks.drain",
        "schedule": EMBEDDINGS_FLUSH_SECONDS,
        "options": {"priority": PRIORITY_URGENT, "expires": max(EMBEDDINGS_FLUSH_SECONDS, 5)},
    },
    "fill": {
        "task": "ingestion.tasks.fill",
        "schedule": DISPATCH_SECONDS,
        "options": {"priority": PRIORITY_URGENT, "expires": max(DISPATCH_SECONDS, 5)},
    },
    "audit": {
        "task": "ingestion.tasks.audit",
        "schedule": AUDIT_LOOK_SECONDS,
        "options": {"priority": PRIORITY_URGENT, "expires": AUDIT_LOOK_SECONDS},
    },
}

# --- Logging: to standard error, with the process, never page text or secrets -------------------------------

LOG_LEVEL = env.str("LOG_LEVEL", "INFO", validate=validate.OneOf(["DEBUG", "INFO", "WARNING", "ERROR"]))
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": LOG_LEVEL},
    "loggers": {
        "axes": {"level": "WARNING"},
        "django": {"level": "WARNING"},
        "celery.app.trace": {"level": "WARNING"},
        "celery.beat": {"level": "WARNING"},
        "celery.worker.strategy": {"level": "WARNING"},
        "circus": {"level": "WARNING"},
        "httpx": {"level": "WARNING"},
        "FlagEmbedding": {"level": "WARNING"},
        "multiprocessing": {"level": "WARNING"},
    },
}


env.seal()
