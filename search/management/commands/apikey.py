"""`manage.py apikey create|list|limit|revoke`: keys for programs."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.db.models import Field
from django.utils import timezone

from ingestion.models import Source
from search.access.caller import ASK, SCOPES, SEARCH
from search.access.keys import issue
from search.models import ApiKey
from search.models.api_key import ApiKeyQuerySet


class Command(BaseCommand):
    help = "Make, list, limit and revoke the API keys of programs."

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        create = actions.add_parser("create", help="make a key and print it, once")
        create.add_argument("name", help="who or what uses it")
        create.add_argument(
            "--scope", action="append", choices=SCOPES, default=[], help="what it may do; may be repeated (search, ask)"
        )
        create.add_argument(
            "--source", action="append", default=[], help="the name of a source that it sees; may be repeated (public)"
        )
        create.add_argument("--days", type=int, help="days until it expires (never)")
        limit = actions.add_parser("limit", help="change how often a key may search and ask, from now on")
        limit.add_argument("name")
        for parser in (create, limit):
            for scope in (SEARCH, ASK):
                usual = f"{scope.upper()}_LIMIT"
                parser.add_argument(
                    f"--{scope}-limit", metavar="LIMIT", help=f'as 600/minute;10000/day; "" is the setting {usual}'
                )
        listed = actions.add_parser("list", help="all keys, without the keys themselves")
        listed.add_argument("--json", action="store_true", help="one JSON list on standard output")
        actions.add_parser("revoke", help="refuse a key from now on").add_argument("name")

    def handle(self, *args: Any, **options: Any) -> None:
        getattr(self, options["action"])(options)

    def create(self, options: dict[str, Any]) -> None:
        """Make a key and print it alone on standard output, for scripts to read."""
        try:
            ApiKey._meta.get_field("name").clean(options["name"], None)
        except ValidationError as error:
            raise CommandError(f"The name: {' '.join(error.messages)}") from error
        if ApiKey.objects.filter(name=options["name"]).exists():
            raise CommandError(f"There is a key named {options['name']!r} already. Choose another name.")
        sources = Source.objects.filter(name__in=options["source"])
        if missing := set(options["source"]) - {source.name for source in sources}:
            raise CommandError(f"There is no source named {', '.join(sorted(missing))}.")
        if options["days"] is not None and not 0 < options["days"] <= 36_500:
            raise CommandError("--days is a number from 1 to 36500.")
        scopes = options["scope"] or [SEARCH, ASK]
        key = ApiKey(
            name=options["name"], **{f"can_{scope}": scope in scopes for scope in SCOPES}, **limits_in(options)
        )
        if options["days"]:
            key.expires_at = timezone.now() + timedelta(days=options["days"])
        try:
            key.clean_fields(exclude=("prefix", "digest"))
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from error
        whole = issue(key, sources)
        self.stderr.write("Copy the key now: it is not stored and cannot be shown again.")
        self.stdout.write(whole)

    def list(self, options: dict[str, Any]) -> None:
        """Print a line or an object for each key."""
        rows = [row_of(key) for key in ApiKey.objects.prefetch_related("sources")]
        if options["json"]:
            self.stdout.write(json.dumps(rows))
            return
        for row in rows:
            sources = f" in {', '.join(row['sources'])}" if row["sources"] else ""
            may = ", ".join(row["scopes"]) or "nothing"
            limits = "".join(f", {scope} {limit}" for scope, limit in row["limits"].items())
            self.stdout.write(
                f"{row['name']}  {row['state']}  {may}{sources}{limits}  last used {row['last_used'] or 'never'}"
            )

    def limit(self, options: dict[str, Any]) -> None:
        """Store the limits that were given."""
        limits = limits_in(options)
        if not limits:
            raise CommandError("Give --search-limit, --ask-limit or both.")
        named(options["name"]).update(**limits)
        self.stdout.write("Changed.")

    def revoke(self, options: dict[str, Any]) -> None:
        """Revoke a key by its name."""
        self.stdout.write("Revoked." if named(options["name"]).revoke() else "It was revoked already.")


def named(name: str) -> ApiKeyQuerySet:
    """Return the key of this name. Raises CommandError."""
    found = ApiKey.objects.filter(name=name)
    if not found.exists():
        raise CommandError(f"There is no key named {name!r}. `manage.py apikey list` names them.")
    return found


def limits_in(options: dict[str, Any]) -> dict[str, str]:
    """Return the limits that were given as options, by the key's field. Raises CommandError for a malformed one."""
    given = {field: options[field] for field in ("search_limit", "ask_limit") if options[field] is not None}
    for name, limit in given.items():
        field: Field[Any, Any] = ApiKey._meta.get_field(name)  # type: ignore[assignment]
        try:
            field.clean(limit, None)
        except ValidationError as error:
            raise CommandError(f"{limit!r}: {' '.join(error.messages)}") from error
    return given


def row_of(key: ApiKey) -> dict[str, Any]:
    """Return what is printed of a key."""
    return {
        "name": key.name,
        "state": "revoked" if key.revoked_at else "usable" if key.usable() else "expired",
        "scopes": key.scopes(),
        "sources": [source.name for source in key.sources.all()],
        "limits": {scope: limit for scope, limit in ((SEARCH, key.search_limit), (ASK, key.ask_limit)) if limit},
        "expires": key.expires_at and key.expires_at.isoformat(),
        "last_used": key.last_used_at and key.last_used_at.isoformat(),
    }
