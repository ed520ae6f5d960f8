"""API keys: made, found, used, revoked.

A key is ``rag_PREFIX_SECRET``. The prefix finds the row; of the whole key only a SHA-256 is stored, which is enough for
256 random bits. ``issue`` returns the key, and nothing can show it again. Each request looks the row up, so that a
revocation holds at once.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from datetime import timedelta
from hmac import compare_digest

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from ingestion.models import Source
from search.exceptions import AccessRefused
from search.models import ApiKey

MARK = "rag"
# A key that is used a hundred times a second costs one write a minute.
USE_NOTED_EVERY = timedelta(minutes=1)
REFUSED = "The key is unknown, expired or revoked."


def issue(key: ApiKey, sources: Iterable[Source] = ()) -> str:
    """Save an unsaved row, limited to ``sources`` if there are any; return its key, which nothing can show again."""
    prefix, limits = secrets.token_hex(4), list(sources)
    whole = f"{MARK}_{prefix}_{secrets.token_urlsafe(32)}"
    key.prefix, key.digest, key.limited = prefix, digest_of(whole), bool(limits)
    with transaction.atomic():
        key.save()
        key.sources.set(limits)
    return whole


def find_key(presented: str) -> ApiKey:
    """Return the row of a key that may be used now, and note its use. Raises AccessRefused."""
    parts = presented.split("_", 2)
    prefix = parts[1] if len(parts) == 3 and parts[0] == MARK and parts[1].isalnum() else ""
    key = ApiKey.objects.filter(prefix=prefix).first() if prefix else None
    if key is None or not compare_digest(key.digest, digest_of(presented)) or not key.usable():
        raise AccessRefused(REFUSED)
    note_use(key)
    return key


def note_use(key: ApiKey) -> None:
    """Store that the key was used now, unless that was done within the last minute."""
    now = timezone.now()
    if key.last_used_at is None or key.last_used_at < now - USE_NOTED_EVERY:
        stale = Q(last_used_at=None) | Q(last_used_at__lt=now - USE_NOTED_EVERY)
        ApiKey.objects.filter(stale, pk=key.pk).update(last_used_at=now)


def digest_of(key: str) -> str:
    """Return the SHA-256 of a key in hexadecimal, which is stored in place of the key."""
    return hashlib.sha256(key.encode(errors="replace")).hexdigest()
