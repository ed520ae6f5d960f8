"""`manage.py settings`: every setting that the environment may set, its value now, its default and what it means."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import attrgetter
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from ingestion.types import Json
from ragproject.environment import HIDDEN, Setting, misspelled, spelled, without_credentials
from ragproject.settings import env

# Characters; a wider value pushes the rest of its line to the right.
WIDEST_COLUMN = 30


class Command(BaseCommand):
    help = "Show every setting that the environment or .env may set. Secrets are never shown."
    requires_system_checks = ()  # a wrong setting has to be shown although a check names it

    def add_arguments(self, parser: ArgumentParser) -> None:
        form = parser.add_mutually_exclusive_group()
        form.add_argument("--json", action="store_true", help="one JSON list, values as the environment spells them")
        form.add_argument("--markdown", action="store_true", help="the README's table: names, defaults and meanings")

    def handle(self, *args: Any, **options: Any) -> None:
        for warning in misspelled(env.in_file, env.settings):
            self.stderr.write(warning)
        if options["markdown"]:
            self.stdout.write("\n".join(table(env.settings.values())))
            return
        rows = [row_of(setting) for setting in env.settings.values()]
        self.stdout.write(json.dumps(rows) if options["json"] else "\n".join(lines(rows)))


def row_of(setting: Setting) -> Json:
    """Return what is printed of a setting."""
    return {
        "name": setting.name,
        "value": shown(getattr(settings, setting.name), secret=setting.secret),
        "default": setting.default,
        "set": setting.is_set,
        "meaning": setting.meaning,
    }


def shown(value: object, *, secret: bool = False) -> str:
    """Return a value as the environment spells it; *** replaces a secret and the credentials in a URL."""
    if isinstance(value, list):
        return ",".join(shown(item, secret=secret) for item in value)
    text = spelled(value)
    if secret:
        return HIDDEN if text else ""
    return without_credentials(text)


def lines(rows: list[Json]) -> Iterator[str]:
    """Yield a table for people, in columns as wide as their values."""
    names = ["name", "value", "default", "set"]
    cells = [names, *([r["name"], r["value"] or "-", r["default"] or "-", "yes" if r["set"] else ""] for r in rows)]
    widths = [min(max(map(len, column)), WIDEST_COLUMN) for column in zip(*cells, strict=True)]
    for row, meaning in zip(cells, ["meaning", *(r["meaning"] for r in rows)], strict=True):
        yield "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=True)), meaning])


def table(described: Iterable[Setting]) -> Iterator[str]:
    """Yield the lines of the README's table, a row for each topic."""
    yield "| for | variable, its default, what it means |"
    yield "|---|---|"
    for topic, settings_of in groupby(described, attrgetter("topic")):
        yield f"| {topic} | {'<br>'.join(map(entry, settings_of))} |"


def entry(setting: Setting) -> str:
    """Return what the README's table says of a setting."""
    default = setting.default if setting.in_words else f"`{setting.default}`" if setting.default else "none"
    return f"**`{setting.name}`** ({default}) {setting.meaning}"
