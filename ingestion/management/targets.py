"""Targets and the options of sources, as the commands that take them share them."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from contextlib import suppress
from math import inf
from pathlib import Path

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError

from ingestion.exceptions import IngestionError
from ingestion.models import Source
from ingestion.sources.registry import KINDS, detect_kind, normalise
from ingestion.types import Json

# Fields of a source whose option has another name.
OPTIONS = {"max_depth": "depth", "delay_seconds": "delay", "refresh_seconds": "refresh"}


def count(text: str) -> int:
    """Return an option's value as a whole number from 0 on. Raise ArgumentTypeError for anything else."""
    if not text.isdecimal():
        raise ArgumentTypeError("must be a whole number from 0 on")
    return int(text)


def amount(text: str) -> float:
    """Return an option's value as a number from 0 on, decimals or not. Raise ArgumentTypeError for anything else."""
    with suppress(ValueError):
        if 0 <= float(text) < inf:
            return float(text)
    raise ArgumentTypeError("must be a number from 0 on")


def add_source_options(parser: ArgumentParser) -> None:
    """Add the targets, and the options that set fields of their sources, to a command's parser."""
    parser.add_argument("targets", nargs="+", metavar="TARGET")
    parser.add_argument("--kind", choices=sorted(KINDS), help="instead of telling it from the target")
    parser.add_argument("--name", help="the source's name (default: its target); one target only")
    parser.add_argument("--product", help="what it documents, such as django")
    parser.add_argument("--version", help="of the product, such as 5.2; searches read the newest one")
    parser.add_argument(
        "--include",
        action="append",
        default=[],
        metavar="GLOB",
        help="only these (repeatable); PDF, Office and EPUB files of a website only where a glob ends so, as *.pdf",
    )
    parser.add_argument("--exclude", action="append", default=[], metavar="GLOB", help="never these (repeatable)")
    parser.add_argument("--max-pages", type=count, metavar="N", help="at most this many documents")
    parser.add_argument("--depth", type=count, metavar="N", help="links followed from the first page (websites)")
    parser.add_argument("--max-alike", type=count, metavar="N", help="linked pages of one form of address; 0: no bound")
    parser.add_argument("--delay", type=amount, metavar="SECONDS", help="between two requests to one host")
    parser.add_argument("--connections", type=count, metavar="N", help="requests at a time to one host; 0: no bound")


def expand(targets: list[str]) -> list[str]:
    """Return the different targets, @files replaced by their lines; empty lines and # comments are skipped.

    Raise CommandError for a file that cannot be read, and when no target is left.
    """
    found: list[str] = []
    for target in targets:
        if not target.startswith("@"):
            found.append(target)
            continue
        try:
            lines = [line.strip() for line in Path(target[1:]).read_text().splitlines()]
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "It is no text"
            raise CommandError(f"{target}: {reason}. @ names a text file with one target per line.") from error
        found += [line for line in lines if line and not line.startswith("#")]
    if not found:
        raise CommandError("There is no target in the list.")
    return list(dict.fromkeys(found))


def identify(target: str, options: Json) -> tuple[str, str]:
    """Return the kind and the normal form of a target. Raise CommandError for one that no source can have."""
    try:
        kind = options["kind"] or detect_kind(target)
        return kind, normalise(kind, target)
    except IngestionError as error:
        raise CommandError(str(error)) from error


def require_possible(kind: str, target: str, fields: Json) -> None:
    """Raise CommandError, which names the options, for fields that the target's source cannot have."""
    known = Source.objects.filter(kind=kind, target=target).first()
    source = known or Source(kind=kind, target=target, name=target[:200])
    for name, value in fields.items():
        setattr(source, name, value)
    try:
        source.full_clean()
    except ValidationError as error:
        said = (f"--{OPTIONS.get(n, n).replace('_', '-')}: {' '.join(m)}" for n, m in error.message_dict.items())
        raise CommandError(f"{target} cannot be ingested so. {' '.join(said)}") from error


def fields_given(options: Json) -> Json:
    """Return the fields of a source that the command line sets, with their values."""
    given = {
        "include": options["include"] or None,
        "exclude": options["exclude"] or None,
        "max_pages": options["max_pages"],
        "max_depth": options["depth"],
        "max_alike": options["max_alike"],
        "delay_seconds": options["delay"],
        "connections": options["connections"],
        "refresh_seconds": options["refresh"],
        "name": options["name"],
        "product": options["product"],
        "version": options["version"],
    }
    return {field: value for field, value in given.items() if value is not None}
