"""Who calls a tool, and how this site's addresses begin for that client.

Over HTTP the endpoint puts it into the request's scope; over standard input and output it is whoever started us.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.conf import settings
from mcp.server.mcpserver import Context

from ragproject.connections import give_back
from ragproject.embedded.services import web_url
from search.access.caller import OPERATOR, Caller

KEY = "ragproject.asking"


@dataclass(frozen=True, slots=True)
class Asking:
    """Who calls, and the address of the site."""

    caller: Caller
    site: str


async def asking(ctx: Context[Any, Any]) -> Asking:
    """Return who makes the call that a tool's context belongs to.

    Over standard input and output no request ends at which a connection that broke would be closed: it is done here.
    """
    request = ctx.request_context.request
    if request is None:
        await give_back()
        return Asking(OPERATOR, settings.PUBLIC_URL or web_url())
    found: Asking = request.scope[KEY]
    return found
