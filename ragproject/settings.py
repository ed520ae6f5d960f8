"""Every setting of the project; what the environment may set is read here, by ``environment``.

Variables may also stand in a ``.env`` file beside ``manage.py``; the environment wins. A value of the
wrong type stops the process with the variable's name. Durations are seconds and sizes bytes
unless the name says otherwise. ``manage.py settings`` lists each variable with the sentence that
stands at its reading, and prints the README's table.
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
from environs import validate
from kombu import Queue

from ragproject.environment import Environment

django_stubs_ext.monkeypatch()  # ModelAdmin[Source] and the like, which mypy needs, work at run time too

BASE_DIR = Path(__file__).resolve().parent.parent

env = Environment(BASE_DIR / ".env")


# Fewer characters than this are what a full disk or a power cut left of a key; one that we make has 67.
SECRET_KEY_LEAST_CHARS = 50


def read_secret_key(path: Path) -> str:
    """Return ``SECRET_KEY``, or the key made on first use and kept readable by its owner only."""
    if given := env.text(
        "SECRET_KEY",
        "",
        "Key that Django signs sessions with.",
        default_in_words="made on first use in DATA_DIR",
        secret=True,
    ):
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

DATA_DIR = Path(
    env.text(
        "DATA_DIR",
        str(BASE_DIR / "var"),
        "Folder of all that is stored, made for its owner alone (0700); its path has at most about 85 characters.",
        default_in_words="the folder var",
    )
).resolve()
DATABASE_URL = env.text(
    "DATABASE_URL",
    f"sqlite:///{DATA_DIR / 'db.sqlite3'}",
    "Where the database is: `sqlite:///…` or `postgres://…`.",
    default_in_words="SQLite in DATA_DIR",
)
# The embedded servers listen on Unix sockets that only the owner of DATA_DIR can reach: whoever can connect to them can
# read and change everything.
REDIS_URL = (
    env.text(
        "REDIS_URL", "", "Where Redis is, as `redis://:password@host:6379/0`.", default_in_words="embedded, in DATA_DIR"
    )
    or f"unix://{quote(str(DATA_DIR / 'redis' / 'redis.sock'))}?db=0"
)
MILVUS_URI = (
    env.text("MILVUS_URI", "", "Where Milvus is, as `http://host:19530`.", default_in_words="embedded, in DATA_DIR")
    or f"unix:{quote(str(DATA_DIR / 'milvus.sock'))}"
)
MILVUS_TOKEN = env.text("MILVUS_TOKEN", "", "Milvus' `user:password`.", secret=True)
# A page or a command waits this long for Redis or Milvus before it says that there is no answer; both answer within
# milliseconds. Workers wait longer.
SERVICE_TIMEOUT_SECONDS = env.number(
    "SERVICE_TIMEOUT_SECONDS",
    2.0,
    "How long a page or a command waits for Redis or Milvus; workers wait longer.",
    validate=validate.Range(0.1, 60),
)
MILVUS_COLLECTION = env.text(
    "MILVUS_COLLECTION",
    "documents",
    "What the names of our collections in Milvus begin with.",
    validate=validate.Regexp(r"^[A-Za-z_]\w{0,99}$"),
)

# --- Django ------------------------------------------------------------------------------------

DEBUG = env.flag("DEBUG", False, "Show details of errors to visitors; never in production.")
SECRET_KEY = read_secret_key(DATA_DIR / "secret_key")
ALLOWED_HOSTS = env.items(
    "ALLOWED_HOSTS", ["127.0.0.1", "localhost", "[::1]"], "Host names that the site may be called by.", convert=str
)
CSRF_TRUSTED_ORIGINS: list[str] = env.items(
    "CSRF_TRUSTED_ORIGINS", [], "Origins whose forms are accepted, as `https://docs.example.org`.", convert=str
)
BEHIND_HTTPS = env.flag("BEHIND_HTTPS", False, "A proxy ends TLS: secure cookies, redirect and HSTS.")
WEB_HOST = env.text("WEB_HOST", "127.0.0.1", "Address that the web server of `up` listens on.")
WEB_PORT = env.integer(
    "WEB_PORT", 8000, "Port that the web server of `up` listens on.", validate=validate.Range(1, 65535)
)
# Addresses or networks whose X-Forwarded-For is believed; everybody else could write into it what they like.
TRUSTED_PROXIES: list[str] = env.items(
    "TRUSTED_PROXIES", [], "Addresses or networks whose `X-Forwarded-For` is believed.", convert=str
)

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
    "search.api.errors.json_errors",
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
TIME_ZONE = env.text("TIME_ZONE", "UTC", "Time zone of the pages and the admin.")
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
LOGIN_LOCK_SECONDS = env.integer(
    "LOGIN_LOCK_SECONDS",
    900,
    "How long wrong passwords count; `manage.py axes_reset_ip` and `axes_reset_username` unlock.",
    validate=validate.Range(1, 86_400),
)
LOGIN_FAILURES_PER_PAIR = env.integer(
    "LOGIN_FAILURES_PER_PAIR", 5, "Wrong passwords that lock an account for one address.", validate=validate.Range(1)
)
LOGIN_FAILURES_PER_ADDRESS = env.integer(
    "LOGIN_FAILURES_PER_ADDRESS",
    20,
    "Wrong passwords that lock an address for all accounts.",
    validate=validate.Range(1),
)
LOGIN_FAILURES_PER_ACCOUNT = env.integer(
    "LOGIN_FAILURES_PER_ACCOUNT",
    50,
    "Wrong passwords that lock an account for addresses new to it.",
    validate=validate.Range(1),
)
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
    config: dict[str, Any] = env.database("DATABASE_URL", url)
    if config["ENGINE"] == "django.db.backends.sqlite3":
        config["OPTIONS"] = {
            "transaction_mode": "IMMEDIATE",
            "timeout": 60,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        }
    return config


DATABASES = {"default": database_settings(DATABASE_URL)}

# --- Sources and fetching ------------------------------------------------------------------------

USER_AGENT = env.text(
    "USER_AGENT",
    "ragproject/0.1 (+documentation ingestion; set USER_AGENT to name a contact)",
    "Name of the crawler; put your contact into it before crawling.",
)
FETCH_PRIVATE_NETWORKS: list[str] = env.items(
    "FETCH_PRIVATE_NETWORKS",
    [],
    "Networks that may be fetched from although not public, as `10.1.0.0/16`.",
    convert=str,
)
FETCH_PORTS = env.items("FETCH_PORTS", [80, 443], "Ports that may be fetched from.", convert=int)
FETCH_TIMEOUT_SECONDS = env.number("FETCH_TIMEOUT_SECONDS", 30.0, "Time limit of one fetched page.")
FETCH_MAX_BYTES = env.integer("FETCH_MAX_BYTES", 10 * 1024 * 1024, "Size limit of one fetched page.")
FETCH_CA_BUNDLE = env.text(
    "FETCH_CA_BUNDLE", "", "File of certificates to trust beside the public ones, for an authority of your own."
)
# Per host, over all workers, unless the source or the site's robots.txt says otherwise. Four requests a second on
# two connections is what a reader who opens pages in tabs does.
CRAWL_DELAY_SECONDS = env.number(
    "CRAWL_DELAY_SECONDS",
    0.25,
    "Pause between requests to a host, over all workers; its robots.txt may ask for more.",
    validate=validate.Range(0, 3600),
)
CRAWL_CONNECTIONS = env.integer(
    "CRAWL_CONNECTIONS", 2, "Connections to a host at a time, over all workers.", validate=validate.Range(0, 1000)
)
GITHUB_API_URL = env.text(
    "GITHUB_API_URL", "https://api.github.com", "Address of the API; another one for GitHub Enterprise."
)
GITHUB_TOKEN = env.text("GITHUB_TOKEN", "", "For private repositories and a higher limit of requests.", secret=True)
GITHUB_MAX_ARCHIVE_BYTES = env.integer(
    "GITHUB_MAX_ARCHIVE_BYTES", 1024 * 1024 * 1024, "Size limit of a repository's archive."
)
UPLOAD_MAX_BYTES = env.integer(
    "UPLOAD_MAX_BYTES", 200 * 1024 * 1024, "Size limit of files uploaded at once in the admin."
)
DATA_UPLOAD_MAX_NUMBER_FILES = 1000  # Django's 100 is fewer than a folder of notes has
FILES_ROOTS: list[Path] = env.items(
    "FILES_ROOTS",
    [],
    "Folders that staff may name in the admin; the command line may name any.",
    convert=lambda p: Path(p).resolve(),
)

# --- Chunks and the model --------------------------------------------------------------------------

# PyTorch's threads on a CPU sleep while they wait for each other, unless the environment says otherwise. They would
# spin: beside other work on two cores that is 1 000 tokens/s instead of 2 300 for the stand-in, alone 5 180 instead of
# 5 030.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# "stand-in" is a small English model that `manage.py standin_model` assembles from a package.
STAND_IN = "stand-in"
EMBED_MODEL = env.text("EMBED_MODEL", "BAAI/bge-m3", "Model by hub id or folder, or `stand-in`.")
MODEL_PATH = str(DATA_DIR / "models" / STAND_IN) if EMBED_MODEL == STAND_IN else EMBED_MODEL
EMBED_POOLING = env.text(
    "EMBED_POOLING",
    "mean" if EMBED_MODEL == STAND_IN else "cls",
    "`cls` or `mean`: how the model makes one vector of a text.",
    validate=validate.OneOf(["cls", "mean"]),
    default_in_words="cls; stand-in: mean",
)
EMBED_DIMENSION = env.integer(
    "EMBED_DIMENSION",
    384 if EMBED_MODEL == STAND_IN else 1024,
    "Length of the model's vectors.",
    default_in_words="1024; stand-in: 384",
)
EMBED_DEVICE = env.text(
    "EMBED_DEVICE",
    "auto",
    "Device of the GPU worker: `auto`, `cpu`, `cuda:N` or `mps`.",
    validate=validate.Regexp(r"^(auto|cpu|mps|cuda(:\d+)?)$"),
)
QUERY_DEVICE = env.text(
    "QUERY_DEVICE",
    "cpu",
    "Device that embeds questions, in the web process.",
    validate=validate.Regexp(r"^(auto|cpu|mps|cuda(:\d+)?)$"),
)
EMBED_DTYPE = env.text(
    "EMBED_DTYPE",
    "auto",
    "`float32`; `float16` or `bfloat16` on a GPU; `int8` on a CPU (faster, less exact).",
    validate=validate.OneOf(["auto", "float32", "float16", "bfloat16", "int8"]),
)
# Fuses what lies between the matrix products, for minutes of compiling at the first batches.
EMBED_COMPILE = env.flag("EMBED_COMPILE", False, "Compile the model for CUDA.")
# GeForce cards multiply float16 twice as fast when sums are float16, too: less exact.
EMBED_FP16_ACCUMULATION = env.flag("EMBED_FP16_ACCUMULATION", False, "Faster float16 on GeForce cards, less exact.")
# The model's files must have this SHA-256 (what they have is in the message that refuses them); empty: any.
EMBED_MODEL_SHA256 = env.text("EMBED_MODEL_SHA256", "", "Refuse model files with another checksum; empty: any.")
# Tokens in one forward pass, without padding. 0 chooses by device: 1 024 for each core of a CPU, 512 in
# int8, and 16 384 on CUDA (the default of text-embeddings-inference).
EMBED_BATCH_TOKENS = env.integer("EMBED_BATCH_TOKENS", 0, "Tokens in one pass of the model; 0: by device.")
# Tokens of chunks taken from the rows at once at most, sorted by length before they are cut into batches; less where
# that would be more than 4 s of work. 500 000 are 3 000 chunks, 0.5 s of one H200 at half its limit.
EMBED_CLAIM_TOKENS = env.integer(
    "EMBED_CLAIM_TOKENS",
    500_000,
    "Tokens claimed and sorted at once at most.",
    validate=validate.Range(1000, 2_000_000),
)
# A batch that takes longer will not come back, because a driver or a card hangs: the process is replaced. The longest
# that there is, one text of 8 192 tokens for BGE-M3, is 11.6 TFLOP: 230 s of a core with 50 GFLOP/s.
EMBED_TIME_LIMIT_SECONDS = env.number(
    "EMBED_TIME_LIMIT_SECONDS",
    600.0,
    "A batch that takes longer hangs: its process is replaced.",
    validate=validate.Range(1, 86_400),
)
CHUNK_TOKENS = env.integer(
    "CHUNK_TOKENS", 320, "No chunk is longer, heading path included.", validate=validate.Range(32, 8192)
)

# --- Buffer, index and dispatch ----------------------------------------------------------------------

EMBEDDINGS_KEY = env.text("EMBEDDINGS_KEY", "embeddings", "Name of the list of embeddings in Redis.")
EMBEDDINGS_FLUSH_SECONDS = env.number(
    "EMBEDDINGS_FLUSH_SECONDS", 60.0, "How often the list is drained into Milvus; at a run's end at once."
)
# Rows of one upsert; 1 000 rows of 1 024 dimensions and 1.5 KB of text are about 6 MB, far below
# Milvus' 64 MB message limit.
EMBEDDINGS_BATCH_ROWS = env.integer(
    "EMBEDDINGS_BATCH_ROWS", 1000, "Rows of one upsert into Milvus.", validate=validate.Range(1, 5000)
)
# The embedder pauses at this and goes on at half of it: 14 000 records at most, 5 to 10 s of Milvus' writes that a
# small source stands behind.
EMBEDDINGS_MAX_BYTES = env.integer(
    "EMBEDDINGS_MAX_BYTES", 64 * 1024 * 1024, "Size of the list in Redis at which embedding pauses."
)

# The index is compared with the rows, key by key, and mended: 15 s for 100 000 chunks on two busy cores.
AUDIT_SECONDS = env.number(
    "AUDIT_SECONDS",
    86_400.0,
    "How often the index is compared with the rows and mended; at once when chunks are missing.",
    validate=validate.Range(60),
)
# How often it is looked whether an audit is due: the last one's time stands in the database, Beat keeps none.
AUDIT_LOOK_SECONDS = 60.0

DISPATCH_SECONDS = env.number("DISPATCH_SECONDS", 2.0, "How often waiting work is handed out.")
MAX_DOCUMENTS_IN_FLIGHT = env.integer("MAX_DOCUMENTS_IN_FLIGHT", 64, "Documents handed out at a time.")
MAX_CHUNKS_WAITING = env.integer("MAX_CHUNKS_WAITING", 20_000, "Chunks waiting for the model at which fetching pauses.")
RETRY_SECONDS = env.number("RETRY_SECONDS", 5.0, "First pause after a passing trouble; doubled each time.")
MAX_ATTEMPTS = env.integer(
    "MAX_ATTEMPTS", 4, "Attempts at a document before it counts as failed.", validate=validate.Range(1, 20)
)
LEASE_SECONDS = env.integer(
    "LEASE_SECONDS", 60, "A claimed chunk or a document that nobody works on is handed out again after this."
)
PAGE_TIME_LIMIT_SECONDS = env.integer("PAGE_TIME_LIMIT_SECONDS", 90, "Time limit of one page in a CPU worker.")
# A listing may read a hundred sitemaps, each in its turn.
LIST_TIME_LIMIT_SECONDS = env.integer("LIST_TIME_LIMIT_SECONDS", 300, "Time limit of listing a source.")

# --- Answering -----------------------------------------------------------------------------------------

LLM_BASE_URL = env.text(
    "LLM_BASE_URL", "", "OpenAI-compatible server, as `http://127.0.0.1:11434/v1`; empty: answers are extracts."
)
LLM_API_KEY = env.text("LLM_API_KEY", "", "The server's key, if it needs one.", secret=True)
LLM_MODEL = env.text("LLM_MODEL", "", "The model's name at that server.")
LLM_MAX_TOKENS = env.integer("LLM_MAX_TOKENS", 700, "Tokens of an answer at most.")
LLM_TIMEOUT_SECONDS = env.number("LLM_TIMEOUT_SECONDS", 60.0, "Wait for the language model.")
# Characters of passages that the language model is given; 12 000 are about 3 000 tokens of English, which
# leaves room for the answer in a window of 4 096.
LLM_CONTEXT_CHARS = env.integer(
    "LLM_CONTEXT_CHARS",
    12_000,
    "Characters of passages that the language model is given.",
    validate=validate.Range(500, 1_000_000),
)
ANSWER_PASSAGES = env.integer(
    "ANSWER_PASSAGES", 5, "Passages that an answer is made of.", validate=validate.Range(1, 20)
)
QUESTION_MAX_CHARS = env.integer("QUESTION_MAX_CHARS", 2000, "Characters of a question at most.")
# What is embedded of a question: its first so many tokens, about 190 words of English. Time grows with them, 50 ms on
# two cores with the stand-in.
QUESTION_MAX_TOKENS = env.integer(
    "QUESTION_MAX_TOKENS", 256, "Tokens of a question that are embedded.", validate=validate.Range(8, 8192)
)
# In one web process. A client is an IPv4 address or an IPv6 network of /64.
QUESTIONS_WAITING_PER_CLIENT = env.integer(
    "QUESTIONS_WAITING_PER_CLIENT",
    16,
    "Questions of one client that may wait for the model, per web process.",
    validate=validate.Range(1),
)
QUESTIONS_WAITING = env.integer(
    "QUESTIONS_WAITING",
    128,
    "Questions of all clients that may wait for the model, per web process.",
    validate=validate.Range(1),
)
LLM_ANSWERS_PER_CLIENT = env.integer(
    "LLM_ANSWERS_PER_CLIENT", 8, "Answers being written for one client at once.", validate=validate.Range(1)
)
LLM_ANSWERS = env.integer("LLM_ANSWERS", 64, "Answers being written at once.", validate=validate.Range(1))
# Requests of any kind; each may hold a thread and a connection to the database.
OPEN_REQUESTS_PER_CLIENT = env.integer(
    "OPEN_REQUESTS_PER_CLIENT", 64, "Requests of one client open at once.", validate=validate.Range(1)
)
OPEN_REQUESTS = env.integer("OPEN_REQUESTS", 256, "Requests open at once.", validate=validate.Range(1))

# --- Celery: a queue for each kind of worker ---------------------------------------------------------------

CPU_WORKERS = env.integer("CPU_WORKERS", 2, "Processes that fetch and cut.", validate=validate.Range(1, 256))
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

LOG_LEVEL = env.text(
    "LOG_LEVEL",
    "INFO",
    "`DEBUG`, `INFO`, `WARNING` or `ERROR`.",
    validate=validate.OneOf(["DEBUG", "INFO", "WARNING", "ERROR"]),
)
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
