"""Who reads, as far as the pages know: a random word in the browser's session.

It is made with a reader's first question, so that somebody who only looks gets no cookie, and it leads to no person.
"""

from __future__ import annotations

import secrets

from django.http import HttpRequest

KEY = "reader"


async def known_reader(request: HttpRequest) -> str:
    """Return the word of this browser's session; empty where nothing was asked from it."""
    return str(await request.session.aget(KEY, ""))


async def reader_of(request: HttpRequest) -> str:
    """Return the word of this browser's session, which is made where there is none."""
    reader = await known_reader(request) or secrets.token_hex(16)
    await request.session.aset(KEY, reader)
    return reader
