"""What the commands of both apps have in common."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser


class VersionedCommand(BaseCommand):
    """A command whose ``--version`` is a product's; Django's own is told by ``manage.py version``."""

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """Return a parser in which the command's options win over Django's."""
        return super().create_parser(prog_name, subcommand, conflict_handler="resolve", **kwargs)
