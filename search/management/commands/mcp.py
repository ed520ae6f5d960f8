"""`manage.py mcp`: the documentation as tools, over standard input and output."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from django.core.management.base import BaseCommand

from search.api.mcp_server.server import build
from search.retrieval.question_model import warm_up


class Command(BaseCommand):
    help = (
        "Serve the documentation to an MCP client that starts this command (an editor, a coding assistant) over "
        "standard input and output. It sees every source. The web server serves the same at /mcp."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        warm_up()
        with suppress(KeyboardInterrupt):
            build().run("stdio")
