"""Who may send bodies as large as uploaded files: staff who are signed in, known before Django stores a body on disk.

In: a request's cookies. Out: whether their session is one of somebody who may open the form of a source. Queries run
in a thread; a database that is away knows nobody.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth import get_user
from django.db import DatabaseError
from django.http import HttpRequest, parse_cookie

from ragproject.connections import release

RIGHTS = ("ingestion.add_source", "ingestion.change_source")


async def may_upload(cookies: str) -> bool:
    """Return whether the session among a request's cookies is one of staff with a right to add or change sources."""
    session_key = parse_cookie(cookies).get(settings.SESSION_COOKIE_NAME) or ""
    return session_key != "" and await sync_to_async(belongs_to_uploader)(session_key)


def belongs_to_uploader(session_key: str) -> bool:
    """Return whether the session of this key is signed in as somebody who may upload; gives its connection back."""
    request = HttpRequest()
    request.session = import_module(settings.SESSION_ENGINE).SessionStore(session_key)
    try:
        user: Any = get_user(request)
        return bool(user.is_staff) and any(map(user.has_perm, RIGHTS))
    except DatabaseError:
        return False
    finally:
        release()
