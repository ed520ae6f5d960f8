"""What `manage.py doctor` looks at: one finding for each thing that has to be right, with what to do where it is not.

In: the settings, this machine, and the services that they name. Out: ``Finding``, in the order in which things depend
on one another. Changes nothing. Every look has a time limit of its own, and asks in the same way as the stack and the
workers do.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from django.conf import settings
from django.core.checks import ERROR, WARNING, run_checks
from django.db import DatabaseError, connection

from ingestion.coordination import heartbeat, redis_client
from ingestion.embedding.loading import resolve_device, resolve_dtype
from ingestion.exceptions import IngestionError, ModelError
from ingestion.fetching.fetcher import fetch
from ingestion.models import Collection
from ingestion.models.times import CLOCK_SECONDS
from ingestion.pipeline.report.alerts import LEAST_FREE_BYTES, alerts
from ingestion.vector_store.store import open_store, require_answer
from ragproject.embedded import services
from ragproject.embedded.data_folder import require_access
from ragproject.embedded.model_folder import lacking
from ragproject.embedded.preflight import StackError, migrations_missing, model_problem, require_free
from ragproject.embedded.restarts import stack_runs
from ragproject.environment import misspelled
from ragproject.settings import env, is_embedded

State = Literal["ok", "warn", "fail"]
# The model, the index and Redis' log of a small documentation take about 1 GB; with less it ends in the middle.
COMFORTABLE_BYTES = 2 * 2**30
# Checks whose subject has a finding of its own.
SAID_OF_THE_MODEL = ("ingestion.W001", "ingestion.E001")
REQUIREMENTS = settings.BASE_DIR / "requirements.txt"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: ``remedy`` is what to do, empty where nothing is to be done."""

    subject: str
    state: State
    says: str
    remedy: str = ""


def diagnose(site: str = "") -> Iterator[Finding]:
    """Yield all findings; ``site`` is an address that the crawler is to reach."""
    yield from configuration()
    yield from versions()
    yield from permissions()
    yield from disk()
    yield from database()
    yield from redis()
    yield from milvus()
    yield from model()
    yield from device()
    yield from workers()
    yield from web()
    if site:
        yield network(site)


def configuration() -> Iterator[Finding]:
    """Yield what Django's checks say of the settings, and names in .env that are no settings."""
    checks = run_checks(include_deployment_checks=settings.SERVES_OTHERS)
    told = [message for message in checks if message.level >= WARNING and not message.is_silenced()]
    found = [message for message in told if message.id not in SAID_OF_THE_MODEL]
    for message in found:
        state: State = "fail" if message.level >= ERROR else "warn"
        yield Finding("settings", state, str(message.msg), str(message.hint or ""))
    for warning in misspelled(env.in_file, env.settings):
        yield Finding("settings", "warn", warning.removeprefix("WARNING: "), "Correct the name in .env.")
    if not found:
        number = sum(setting.is_set for setting in env.settings.values())
        yield Finding("settings", "ok", f"{number} of {len(env.settings)} are set; `manage.py settings` lists them")


def versions() -> Iterator[Finding]:
    """Yield whether the installed packages are those that requirements.txt pins, where that file is."""
    python = ".".join(map(str, sys.version_info[:3]))
    pins = pinned(REQUIREMENTS) if REQUIREMENTS.exists() else {}
    others = {name: found for name, wanted in pins.items() if (found := installed(name)) not in ("", wanted)}
    if others:
        says = ", ".join(f"{name} {found} instead of {pins[name]}" for name, found in others.items())
        yield Finding("versions", "warn", f"Python {python}; {says}", "Run: make setup")
    else:
        yield Finding("versions", "ok", f"Python {python}, Django {installed('Django')}, Celery {installed('celery')}")


def pinned(file: Path) -> dict[str, str]:
    """Return the packages of a requirements file with their versions."""
    lines = [line.partition("#")[0].strip() for line in file.read_text(encoding="utf-8").splitlines()]
    return {name: wanted for name, _, wanted in (line.partition("==") for line in lines if line)}


def installed(name: str) -> str:
    """Return the version of an installed package without a local part such as +cpu; "" where it is not installed."""
    with suppress(PackageNotFoundError):
        return version(name).partition("+")[0]
    return ""


def permissions() -> Iterator[Finding]:
    """Yield whether the data folder and the state in it belong to this user."""
    folder = settings.DATA_DIR
    try:
        require_access(folder)
    except StackError as error:
        yield Finding("permissions", "fail", *said(error))
        return
    if folder.exists() and folder.stat().st_mode & 0o077:
        yield Finding("permissions", "warn", f"{folder} is open to other users", f"Run: chmod go-rwx {folder}")
    else:
        yield Finding("permissions", "ok", f"{folder} is this user's alone")


def disk() -> Iterator[Finding]:
    """Yield how much room the data folder's disk has."""
    usage = shutil.disk_usage(next(each for each in (settings.DATA_DIR, *settings.DATA_DIR.parents) if each.exists()))
    says = f"{usage.free / 2**30:.1f} of {usage.total / 2**30:.0f} GiB are free for {settings.DATA_DIR}"
    if usage.free < LEAST_FREE_BYTES:
        yield Finding("disk", "fail", says, "Make room now: nothing can be stored. Then the work goes on by itself.")
    elif usage.free < COMFORTABLE_BYTES:
        yield Finding("disk", "warn", says, "Make room, or set DATA_DIR to a folder on a larger disk.")
    else:
        yield Finding("disk", "ok", says)


def database() -> Iterator[Finding]:
    """Yield whether the database answers and has the tables of this version, and whether its clock is this one."""
    try:
        missing = migrations_missing()
        with connection.cursor() as cursor:
            cursor.execute("SELECT CURRENT_TIMESTAMP")
            (at,) = cursor.fetchone()
    except DatabaseError as error:
        words = str(error).strip().splitlines()[0]
        remedy = "Check DATABASE_URL: host, port, name, user and password, and that the server runs."
        yield Finding("database", "fail", f"{connection.vendor}: {words}", remedy)
        return
    if missing:
        # `up` applies them before anything else; where other processes run already, nothing does.
        waits_for_up = is_embedded(settings.REDIS_URL) and not stack_runs(settings.DATA_DIR)
        state: State = "warn" if waits_for_up else "fail"
        yield Finding("database", state, f"{missing} migrations are not applied", "Run: python manage.py migrate")
    else:
        server = ".".join(map(str, connection.get_database_version()))
        yield Finding("database", "ok", f"{connection.vendor} {server}, tables of this version")
    if connection.vendor == "postgresql":
        yield clock("the database", at.timestamp())


def clock(of: str, seconds: float) -> Finding:
    """Return whether another machine's clock is near this one's."""
    apart = abs(time.time() - seconds)
    says = f"that of {of} differs by {apart:.0f} s"
    if apart > CLOCK_SECONDS:
        return Finding("clock", "fail", says, "Synchronise both machines' clocks (chrony, systemd-timesyncd).")
    return Finding("clock", "ok", says)


def redis() -> Iterator[Finding]:
    """Yield whether Redis answers, keeps what it is given, and has this machine's time."""
    if trouble := services.redis_trouble():
        remedy = "Check REDIS_URL (password, host, port) and that Redis runs."
        if trouble.startswith("MISCONF"):  # it runs, and cannot write to its disk
            remedy = "Make room on Redis' disk, or see its log for what keeps it from writing there."
        yield silent("redis", settings.REDIS_URL, trouble.rstrip("."), remedy)
        return
    try:
        trouble = redis_client.memory_fault()
        redis_client.require_writes()
        with redis_client.available() as client:
            found, (seconds, _) = client.info("server"), client.time()
    except IngestionError as error:
        yield Finding("redis", "fail", *said(error))
        return
    if trouble:
        yield Finding("redis", "fail", *said(Exception(trouble)))
    else:
        yield Finding("redis", "ok", f"version {found['redis_version']}, takes writes")
    yield clock("Redis", float(seconds))


def milvus() -> Iterator[Finding]:
    """Yield whether Milvus answers us, and whether the index was made by the model that the settings name."""
    if trouble := services.milvus_trouble():
        remedy = "Check MILVUS_URI and MILVUS_TOKEN, and that Milvus runs."
        yield silent("milvus", settings.MILVUS_URI, trouble, remedy)
    else:
        yield answer_of_milvus()
    with suppress(DatabaseError):
        row = Collection.objects.searched()
        if row and (row.model, row.dimension) != (settings.MODEL_PATH, settings.EMBED_DIMENSION):
            yield Finding(
                "index",
                "warn",
                f"it holds vectors of {row.model} ({row.dimension} numbers), the settings name {settings.MODEL_PATH} "
                f"({settings.EMBED_DIMENSION})",
                "Nothing, if that is meant: a new index is made while the old one answers. Else correct EMBED_MODEL.",
            )
        elif row:
            yield Finding("index", "ok", f"{row.name} is searched")


def answer_of_milvus() -> Finding:
    """Return whether Milvus does what we ask, and has the collection that is searched.

    Its health check is no proof of either: a server with passwords answers that to everybody.
    """
    try:
        require_answer(settings.SERVICE_TIMEOUT_SECONDS)
    except IngestionError as error:
        remedy = "The server speaks, so check MILVUS_TOKEN (user:password) first, then Milvus' log."
        return Finding("milvus", "fail", said(error)[0], remedy)
    with suppress(DatabaseError):
        if row := Collection.objects.searched():
            try:
                open_store(row.name, row.dimension, settings.SERVICE_TIMEOUT_SECONDS).verify()
            except IngestionError as error:
                return Finding("milvus", "fail", *said(error))
    return Finding("milvus", "ok", "answers")


def silent(service: str, url: str, trouble: str, remedy: str) -> Finding:
    """Return the finding of a service that does not answer; an embedded one only runs with the stack."""
    if is_embedded(url) and not services.runs_already(url) and not stack_runs(settings.DATA_DIR):
        return Finding(service, "warn", "is embedded and not started", "Run: python manage.py up")
    return Finding(service, "fail", trouble, remedy)


def model() -> Iterator[Finding]:
    """Yield whether the model's files are there, whole, or can be downloaded."""
    if problem := model_problem():
        yield Finding("model", "fail", *said(Exception(problem)))
    elif settings.EMBED_MODEL == settings.STAND_IN and lacking(Path(settings.MODEL_PATH)):
        yield Finding("model", "warn", "the stand-in is not assembled", "Run: python manage.py standin_model")
    else:
        yield Finding("model", "ok", f"{settings.EMBED_MODEL}, {settings.EMBED_DIMENSION} numbers a vector")


def device() -> Iterator[Finding]:
    """Yield which device embeds here, and in which precision."""
    if find_spec("ctranslate2") is None:
        yield Finding("device", "ok", "this machine has no library for the model: it fetches, and embeds nothing")
        return
    try:
        name = resolve_device(settings.EMBED_DEVICE)
        precision = resolve_dtype(name, settings.EMBED_DTYPE)
    except ModelError as error:
        yield Finding("device", "fail", *said(error))
        return
    if name == "cpu" and settings.EMBED_MODEL != settings.STAND_IN:
        remedy = "Use a GPU for more than some hundred pages; set EMBED_DTYPE=int8 to embed on a CPU faster."
        yield Finding("device", "warn", f"{name}, {precision}", remedy)
    else:
        yield Finding("device", "ok", f"{name}, {precision}")


def workers() -> Iterator[Finding]:
    """Yield the embedding workers that live, and the alerts that `manage.py status` shows."""
    try:
        for found in heartbeat.workers():
            yield Finding("workers", "ok", f"{found.device_id} is {found.state}")
        for alert in alerts():
            yield Finding("workers", "warn", *said(Exception(alert)))
    except (IngestionError, DatabaseError):
        return  # said above


def web() -> Iterator[Finding]:
    """Yield whether the web server answers or, while no stack runs, can open its port."""
    address = services.web().listens
    if address and not stack_runs(settings.DATA_DIR):
        try:
            require_free(address)
        except StackError as error:
            yield Finding("web", "warn", *said(error))
        else:
            yield Finding("web", "ok", f"port {settings.WEB_PORT} is free")
    elif trouble := services.web_trouble():
        yield Finding(
            "web", "warn", f"{services.web_url()} does not answer: {trouble}", "Look at its lines of the log."
        )
    else:
        yield Finding("web", "ok", services.web_url())


def network(site: str) -> Finding:
    """Return whether the crawler gets a page of the site, under all the rules that hold for it."""
    started = time.perf_counter()
    try:
        page = fetch(site)
    except IngestionError as error:
        return Finding("network", "fail", *said(error))
    return Finding("network", "ok", f"{page.url}: {len(page.body)} bytes in {time.perf_counter() - started:.1f} s")


def said(error: Exception) -> tuple[str, str]:
    """Return the first sentence of an error, and the others, which say what to do."""
    first, _, rest = str(error).partition(". ")
    return first.rstrip("."), rest
