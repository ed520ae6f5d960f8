"""The web site: hosts and proxies, Django's applications and middleware, logins, the database."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import unquote, urlsplit
from zoneinfo import ZoneInfo

import django_stubs_ext
from environs import ValidationError, validate

from ragproject.settings.locations import DATA_DIR, DATABASE_URL, at_home, env, has_scheme, web_address
from ragproject.settings.secret_key import read_secret_key, require_secret

django_stubs_ext.monkeypatch()  # ModelAdmin[Source] and the like, which mypy needs, work at run time too


def host_name(text: str) -> str:
    """Return a host's name. Raises ValueError for an address or a port, which no request's host would ever equal."""
    if "/" in text or (":" in text and not text.endswith("]")):
        raise ValueError(f"{text} is no host's name. Write it without https:// and without a port")
    return text


def time_zone(text: str) -> None:
    """Refuse a time zone that there is not."""
    try:
        ZoneInfo(text)
    except (OSError, LookupError, ValueError) as error:
        raise ValidationError(f"There is no time zone {text}. Write one as Europe/Berlin") from error


def mail_server(text: str) -> None:
    """Refuse what is no address of a mail server."""
    if text and not has_scheme(text, "smtp", "smtps", "smtp+plain"):
        raise ValidationError("Write smtp://user:password@mail.example.org")


LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost", "[::1]"})

env.begin("web site")
DEBUG = env.flag("DEBUG", False, "Show details of errors to visitors; never in production.")
SECRET_KEY = env.text(
    "SECRET_KEY",
    "",
    "Key that Django signs sessions with.",
    default_in_words="made on first use in DATA_DIR",
    secret=True,
) or read_secret_key(DATA_DIR / "secret_key")
if not DEBUG:
    require_secret(SECRET_KEY)
ALLOWED_HOSTS = env.items(
    "ALLOWED_HOSTS",
    ["127.0.0.1", "localhost", "[::1]"],
    "Host names that the site may be called by.",
    convert=host_name,
)
CSRF_TRUSTED_ORIGINS: list[str] = env.items(
    "CSRF_TRUSTED_ORIGINS", [], "Origins whose forms are accepted, as `https://docs.example.org`.", convert=str
)
PUBLIC_URL = env.text(
    "PUBLIC_URL",
    "",
    "Address of the site in links for programs, as `https://docs.example.org`.",
    validate=web_address,
    default_in_words="the host that was asked",
)
# Whether others than this machine's own browsers may come: then the rules for production hold.
SERVES_OTHERS = not set(ALLOWED_HOSTS) <= LOOPBACK_NAMES
BEHIND_HTTPS = env.flag("BEHIND_HTTPS", False, "A proxy ends TLS: secure cookies, redirect and HSTS.")
WEB_HOST = env.text("WEB_HOST", "127.0.0.1", "Address that the web server of `up` listens on.")
WEB_PORT = env.integer(
    "WEB_PORT", 8000, "Port that the web server of `up` listens on.", validate=validate.Range(1, 65535)
)
# Addresses or networks whose X-Forwarded-For is believed; everybody else could write into it what they like.
TRUSTED_PROXIES: list[str] = env.items(
    "TRUSTED_PROXIES", [], "Addresses or networks whose `X-Forwarded-For` is believed.", convert=str
)

ANONYMOUS_ACCESS: list[str] = env.items(
    "ANONYMOUS_ACCESS",
    ["page", "api", "mcp", "openai"],
    "Doors open to readers without a key or a login: any of `page`, `api`, `mcp`, `openai`.",
    convert=str,
)

INSTALLED_APPS = [
    "django.contrib.admin.apps.SimpleAdminConfig",  # ``urls`` loads the admin: workers have no use for it
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
    "search.api.errors.problems",
    "ragproject.middleware.Security",
    "servestatic.middleware.ServeStaticMiddleware",
    "ragproject.middleware.ContentSecurityPolicy",
    "ragproject.middleware.Sessions",
    "ragproject.middleware.Common",
    "ragproject.middleware.Csrf",
    "ragproject.middleware.Authentication",
    "ragproject.middleware.Messages",
    "ragproject.middleware.XFrameOptions",
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
TIME_ZONE = env.text("TIME_ZONE", "UTC", "Time zone of the pages and the admin.", validate=time_zone)
USE_TZ = True
STATIC_URL = "static/"
STATIC_ROOT = DATA_DIR / "static"
SERVESTATIC_USE_FINDERS = True
X_FRAME_OPTIONS = "DENY"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = BEHIND_HTTPS
# Asked for on the inner network, by programs that do not pass through the proxy.
SECURE_REDIRECT_EXEMPT = [r"^(healthz|readyz(/\w+)?|metrics)$"]
SECURE_HSTS_SECONDS = 31_536_000 if BEHIND_HTTPS else 0
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if BEHIND_HTTPS else None
# Other names below this site's are not ours to decide about; and three checks know middleware by Django's names only.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021", "security.W001", "security.W002", "security.W003"]
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
LOGIN_URL, LOGIN_REDIRECT_URL, LOGOUT_REDIRECT_URL = "login", "page", "page"
AXES_HANDLER = "ragproject.logins.LoginLimits"
AXES_LOCKOUT_CALLABLE = "ragproject.logins.locked_page"
AXES_CLIENT_STR_CALLABLE = "ragproject.logins.described"
AXES_CLIENT_IP_CALLABLE = "ragproject.clients.client_of"
AXES_COOLOFF_TIME = timedelta(seconds=LOGIN_LOCK_SECONDS)
AXES_FAILURE_LIMIT = 1  # the handler counts 1 when any of the limits is reached
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]  # what a successful login forgets
AXES_RESET_ON_SUCCESS = True
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False

EMAIL_URL = env.text(
    "EMAIL_URL",
    "",
    "Mail server for notifications, as `smtp://user:password@mail.example.org` (STARTTLS), `smtps://…` (TLS) or "
    "`smtp+plain://…` (a relay near by); empty: no mail.",
    validate=mail_server,
)
_mail = urlsplit(EMAIL_URL)
EMAIL_HOST, EMAIL_USE_TLS, EMAIL_USE_SSL = _mail.hostname or "", _mail.scheme == "smtp", _mail.scheme == "smtps"
EMAIL_HOST_USER, EMAIL_HOST_PASSWORD = unquote(_mail.username or ""), unquote(_mail.password or "")
EMAIL_PORT = _mail.port or {"smtps": 465, "smtp+plain": 25}.get(_mail.scheme, 587)
EMAIL_FROM = DEFAULT_FROM_EMAIL = env.text("EMAIL_FROM", "docs@localhost", "Sender of mails.")
EMAIL_TIMEOUT = 15

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

DATABASES: dict[str, dict[str, Any]] = {"default": env.database("DATABASE_URL", DATABASE_URL)}
IS_SQLITE = DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3"
if IS_SQLITE:
    if DATABASES["default"]["NAME"] != ":memory:":
        DATABASES["default"]["NAME"] = str(at_home(DATABASES["default"]["NAME"]))
    # What several writing processes need: a write-ahead log, transactions that lock at their start, and up to 60 s of
    # waiting for the lock.
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 60,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
    }
    one_moment: dict[str, Any] = {"transaction_mode": "DEFERRED"}
else:
    from psycopg import IsolationLevel  # here, as it takes 40 ms of each process's start

    one_moment = {"isolation_level": IsolationLevel.REPEATABLE_READ}
# The same database, for backups: a transaction reads the rows of one moment, and nobody waits for it.
DATABASES["snapshot"] = DATABASES["default"] | {"OPTIONS": DATABASES["default"].get("OPTIONS", {}) | one_moment}
DATABASE_CONNECTIONS = env.integer(
    "DATABASE_CONNECTIONS",
    20,
    "Connections to PostgreSQL that a web process opens at most; requests share them.",
    validate=validate.Range(1),
)
