"""System checks: they name settings that cannot work before anything starts.

A Redis that would lose data is not a matter of settings alone; workers refuse to start with it.
"""

from __future__ import annotations

import os
import sys
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from celery.signals import beat_init, worker_init
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register

from ingestion.coordination import redis_client
from ingestion.embedding.loading import resolve_dtype
from ingestion.exceptions import AddressRefused, BufferUnavailable, ModelError
from ingestion.fetching.ssrf_guard import check_address
from ragproject.environment import without_credentials
from ragproject.settings import is_embedded, socket_path
from ragproject.start_checks import require_checks

# sockaddr_un holds 108 bytes on Linux and 104 elsewhere, with a zero at the end.
SOCKET_PATH_BYTES = 107 if sys.platform == "linux" else 103
METADATA_SERVICE = "169.254.169.254"


@register()
def check_model_path(**kwargs: Any) -> list[CheckMessage]:
    """Return a message about a model folder that does not exist; a hub id is resolved when the model is loaded."""
    path = Path(settings.MODEL_PATH)
    if settings.EMBED_MODEL == settings.STAND_IN and not path.is_dir():
        return [
            Warning(
                f"The stand-in model is not assembled in {path}.",
                hint="`manage.py up` assembles it; or run: python manage.py standin_model",
                id="ingestion.W001",
            )
        ]
    if path.is_absolute() and not path.is_dir():
        return [
            Error(
                f"The model folder {path} does not exist.",
                hint="Set EMBED_MODEL to a folder with BGE-M3, to a hub id (BAAI/bge-m3) or to stand-in.",
                id="ingestion.E001",
            )
        ]
    return []


@register()
def check_context_model(**kwargs: Any) -> list[CheckMessage]:
    """Return an error when CONTEXT_MODEL names a model and LLM_BASE_URL names no server."""
    if not settings.CONTEXT_MODEL or settings.LLM_BASE_URL:
        return []
    hint = "Set LLM_BASE_URL to the server that has the model, or leave CONTEXT_MODEL empty."
    return [Error("CONTEXT_MODEL is set and LLM_BASE_URL is not.", hint=hint, id="ingestion.E008")]


@register()
def check_leases(**kwargs: Any) -> list[CheckMessage]:
    """Return an error for a PAGE_TIME_LIMIT_SECONDS so long that Celery may deliver a task twice.

    That is half the broker's visibility timeout or more.
    """
    if 2 * settings.PAGE_TIME_LIMIT_SECONDS < settings.VISIBILITY_TIMEOUT_SECONDS:
        return []
    return [
        Error(
            "PAGE_TIME_LIMIT_SECONDS must stay below half of the broker's visibility timeout "
            f"({settings.VISIBILITY_TIMEOUT_SECONDS} s).",
            id="ingestion.E002",
        )
    ]


@register()
def check_precision(**kwargs: Any) -> list[CheckMessage]:
    """Return an error for a precision that the device cannot compute in.

    What the device "auto" is, only a process with torch can tell; it is not checked.
    """
    if settings.EMBED_DEVICE == "auto":
        return []
    try:
        resolve_dtype(settings.EMBED_DEVICE, settings.EMBED_DTYPE)
    except ModelError as error:
        return [Error(str(error), id="ingestion.E003")]
    return []


@register()
def check_private_networks(**kwargs: Any) -> list[CheckMessage]:
    """Return an error for networks that cannot be parsed, before the first fetch depends on them."""
    try:
        [ip_network(network) for network in settings.FETCH_PRIVATE_NETWORKS]
    except ValueError as error:
        hint = "Write networks like 10.1.0.0/16, separated by commas."
        return [Error(f"FETCH_PRIVATE_NETWORKS: {error}.", hint=hint, id="ingestion.E004")]
    return []


@register()
def check_socket_paths(**kwargs: Any) -> list[CheckMessage]:
    """Return an error for each socket path that is too long for the kernel.

    The errors of servers and clients would name no setting.
    """
    paths = {name: socket_path(getattr(settings, name)) for name in ("REDIS_URL", "MILVUS_URI")}
    return [
        Error(
            f"The path of the socket {path} has {len(os.fsencode(path))} bytes; the system allows {SOCKET_PATH_BYTES}.",
            hint=f"Set DATA_DIR to a folder with a shorter path, or {name} to a server on a port.",
            id="ingestion.E006",
        )
        for name, path in paths.items()
        if path and len(os.fsencode(path)) > SOCKET_PATH_BYTES
    ]


@register()
def check_guard(**kwargs: Any) -> list[CheckMessage]:
    """Return an error when the fetcher would reach the service that hands out a cloud machine's credentials."""
    try:
        check_address(METADATA_SERVICE, 80)
    except AddressRefused:
        return []
    hint = "This program was changed; nothing may be fetched with it."
    return [Error(f"The fetcher would connect to {METADATA_SERVICE}.", hint=hint, id="ingestion.E005")]


@register()
def check_milvus(**kwargs: Any) -> list[CheckMessage]:
    """Return an error when a Milvus that others in its network can reach is used without a password.

    With MILVUS_ANONYMOUS it is only a warning.
    """
    if settings.MILVUS_TOKEN or socket_path(settings.MILVUS_URI) or is_embedded(settings.MILVUS_URI):
        return []
    hint = (
        "Switch its authorization on (COMMON_SECURITY_AUTHORIZATIONENABLED=true) and set MILVUS_TOKEN=user:password. "
        "Where nobody else is in its network, MILVUS_ANONYMOUS=true says so."
    )
    kind = Warning if settings.MILVUS_ANONYMOUS else Error
    message = f"Milvus at {without_credentials(settings.MILVUS_URI)} is used without a password."
    return [kind(message, hint=hint, id="ingestion.E007" if kind is Error else "ingestion.W007")]


@worker_init.connect
@beat_init.connect
def refuse_unsafe_settings(**kwargs: Any) -> None:
    """End a worker, and Beat, whose settings the checks call wrong."""
    require_checks(pages=False)


@worker_init.connect
def refuse_unsafe_redis(**kwargs: Any) -> None:
    """End a worker whose Redis may evict data or has too little memory.

    This is no system check: those run with every command, and this one asks the server. One that does not answer yet
    is no reason to end; the worker waits for it.
    """
    try:
        problem = redis_client.memory_fault()
    except BufferUnavailable:
        return
    if problem:
        raise SystemExit(f"The worker does not start. {problem}")
