"""The key that Django signs sessions with, kept in a file where the environment gives none."""

from __future__ import annotations

import os
import secrets
import sys
from contextlib import suppress
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

# Fewer characters than this are what a full disk or a power cut left of a key; one that we make has 67.
SECRET_KEY_LEAST_CHARS = 50
# 64 hexadecimal digits by chance have more than 10 different ones, but for one key in 10^9.
SECRET_KEY_LEAST_DIFFERENT = 8
# How Django's own command begins the key of a new project, which is often published with it.
EXAMPLE = "django-insecure-"


def read_secret_key(path: Path) -> str:
    """Return the key in the file, which is made on first use and readable by its owner only.

    A damaged file is replaced, with a warning on standard error. Raises ImproperlyConfigured where the file or its
    folder cannot be used.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if path.exists():
            key = path.read_bytes().strip()
            if len(key) < SECRET_KEY_LEAST_CHARS or not key.isascii() or not key.decode().isprintable():
                path.unlink()
                sys.stderr.write(f"WARNING: {path} was damaged and is made anew; everybody has to log in again.\n")
        if not path.exists():
            make_secret_key(path)
        return path.read_text()
    except OSError as error:
        raise ImproperlyConfigured(
            f"{error.filename or path} cannot be used ({error.strerror}). Set DATA_DIR to a folder of the user who "
            "runs this, or give the files back to that user (chown -R)."
        ) from error


def require_secret(key: str) -> str:
    """Return the key. Raises ImproperlyConfigured for one that can be guessed, such as an example's."""
    if len(key) < SECRET_KEY_LEAST_CHARS or len(set(key)) < SECRET_KEY_LEAST_DIFFERENT or key.startswith(EXAMPLE):
        raise ImproperlyConfigured(
            f"SECRET_KEY can be guessed: it needs {SECRET_KEY_LEAST_CHARS} characters by chance or more. Make one with "
            "`openssl rand -hex 32`, or leave it out: one is made in DATA_DIR. With DEBUG=true any will do."
        )
    return key


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
