"""Who reads, as far as the pages know: a random word in the browser's session.

It is made with a reader's first question, so that somebody who only looks gets no cookie, and it leads to no person.
"""

from __future__ import annotations

import secrets

from django.http import HttpRequest

KEY = "reader"


async def known_reader(request: HttpRequest) -> str:
    """Return the random word that tells this browser's reader apart; empty where its session has none."""
    return str(await request.session.aget(KEY, ""))


async def reader_of(request: HttpRequest) -> str:
    """Return the random word that tells this browser's reader apart; store one in a session without it."""
    reader = await known_reader(request) or secrets.token_hex(16)
    await request.session.aset(KEY, reader)
    return reader
