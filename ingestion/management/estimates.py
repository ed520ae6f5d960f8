"""Estimates of targets, printed for people or as JSON: `manage.py estimate` and `manage.py ingest --dry-run`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from django.core.management.base import CommandError, OutputWrapper

from ingestion.exceptions import IngestionError
from ingestion.management.targets import fields_given, identify
from ingestion.models import Source
from ingestion.pipeline.report.estimate import Estimate, estimate
from ingestion.pipeline.report.stored import Stored, stored
from ingestion.types import Json


def print_estimates(
    out: OutputWrapper, targets: Sequence[str], options: Json, *, sample: int = 0, rate: float = 0.0
) -> bool:
    """Print an estimate of every target, beside what is stored of it. Return whether all could be made."""
    good = True
    for target in targets:
        try:
            kind, normal = identify(target, options)
            fields = {name: value for name, value in fields_given(options).items() if name != "name"}
            found = estimate(Source(kind=kind, target=normal, **fields).spec(), sample=sample, rate=rate)
            truth = stored(Source.objects.filter(kind=kind, target=normal).first())
        except (CommandError, IngestionError, OSError) as error:
            good = False
            record: Json = {"target": target, "error": str(error)}
            shown = [target, f"  cannot be ingested: {error}"]
        else:
            record = asdict(found) | {"stored": asdict(truth) if truth else None}
            shown = [found.target, *lines(found), *beside(found, truth), *sample_lines(found)]
        out.write(json.dumps(record) if options["json"] else "\n".join(shown))
    return good


def lines(found: Estimate) -> Iterator[str]:
    """Yield what the source would bring and cost."""
    more = "" if found.complete else " at least (links lead to more)"
    yield f"  pages    {found.pages}{more}; for example {', '.join(found.examples)}"
    likely = f"; within {200 * found.standard_error:.0f} % as a rule" if found.standard_error else ""
    yield f"  chunks   about {found.chunks}, {found.tokens} tokens, from {found.sampled} pages read{likely}"
    if found.described:
        yield f"  context  {found.described} sentences by CONTEXT_MODEL, which reads {found.described_tokens} tokens"
    yield f"  embedder about {found.embed_seconds:.0f} s, at {found.tokens_per_second:.0f} tokens/s ({found.rate_from})"
    yield f"  minutes  about {found.minutes} ({found.slowest} is the slowest part)"
    yield f"  Milvus   about {found.milvus_bytes / 1e6:.1f} MB"
    if found.cost.once or found.cost.monthly:
        yield f"  money    about {found.cost.once:.2f} once, {found.cost.monthly:.2f} a month for Milvus"
    yield from (f"  note     {note}" for note in found.notes)


def beside(found: Estimate, truth: Stored | None) -> Iterator[str]:
    """Yield what is stored of the source, each figure beside its estimate."""
    if truth:
        figures: list[tuple[str, Any, Any]] = [
            ("pages", found.pages, truth.pages),
            ("chunks", found.chunks, truth.chunks),
            ("tokens", found.tokens, truth.tokens),
            ("embedder's seconds", round(found.embed_seconds, 1), round(truth.embed_seconds, 1)),
        ]
        said = (f"{name} {was} ({difference(about, was)})" for name, about, was in figures)
        yield f"  stored   {', '.join(said)}; in brackets how far the estimate is off"


def difference(about: float, was: float) -> str:
    """Return how far an estimate is from the truth."""
    return f"{100 * (about / was - 1):+.0f} %" if was else "–"


def sample_lines(found: Estimate) -> Iterator[str]:
    """Yield the beginning of the first page of the sample."""
    yield f"  sample   {found.sample.title}"
    yield from (f"           {line}" for line in found.sample.text.splitlines())
