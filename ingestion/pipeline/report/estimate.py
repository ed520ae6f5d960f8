"""What ingesting a source would cost, without storing anything: `manage.py ingest --dry-run`.

The source is listed as a run would list it; of a website that has no complete list, as many pages as the sample holds
are followed. A few pages are fetched, extracted and cut into chunks; the rest is proportion.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from django.conf import settings

from ingestion.context.sentence import TOKENS_AROUND
from ingestion.exceptions import PermanentError, SourceError
from ingestion.models import Source
from ingestion.pipeline.report.preview import fetch_and_extract, split_into_chunks
from ingestion.pipeline.state.runs import embedding_rate
from ingestion.sources.registry import follow, list_documents
from ingestion.types import Extracted, SourceSpec

SAMPLED_PAGES = 5
SAMPLE_CHARS = 1200
EXAMPLES = 3
# Before anything was embedded here: the rate of the stand-in model on two CPU cores; a GPU is far faster.
ASSUMED_TOKENS_PER_SECOND = 4000.0


@dataclass(frozen=True, slots=True)
class SampleText:
    """The title and the beginning of the Markdown of the first page of the sample."""

    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Estimate:
    """What ingesting a source would bring and cost. `manage.py ingest --dry-run --json` prints these names as keys."""

    target: str
    kind: str
    pages: int
    complete: bool  # no links lead to more pages
    examples: tuple[str, ...]  # addresses
    sampled: int  # pages that were read
    chunks: int
    tokens: int
    described: int  # sentences of context that CONTEXT_MODEL is asked for
    described_tokens: int  # which it reads for them, at most
    minutes: float
    slowest: str  # what the minutes are spent with: "fetching politely" or "embedding"
    notes: tuple[str, ...]  # what was left out, and why pages of the sample could not be read
    sample: SampleText


@dataclass(frozen=True, slots=True)
class SampledPage:
    extracted: Extracted
    chunks: int
    tokens: int


def estimate(spec: SourceSpec) -> Estimate:
    """Return what ingesting one source would cost.

    Raises SourceError when not one page can be read, with the reason of the last.
    """
    listing = list_documents(spec)
    known = {each.url: None for each in islice(listing.documents, spec.max_pages or None)}
    failures: list[str] = []
    samples = list(islice(_sampled(spec, known, listing.complete, failures), SAMPLED_PAGES))
    if not samples:
        raise SourceError(failures[-1] if failures else f"{spec.target} holds nothing to index.")
    pages = min(len(known), spec.max_pages or len(known))
    tokens = round(pages * sum(page.tokens for page in samples) / len(samples))
    # Fetching and embedding run side by side, so the slower one decides.
    delay = settings.CRAWL_DELAY_SECONDS if spec.crawl_policy.delay_seconds is None else spec.crawl_policy.delay_seconds
    fetching = pages * delay if spec.kind in Source.WEB else 0.0
    embedding = tokens / (embedding_rate() or ASSUMED_TOKENS_PER_SECOND)
    first = samples[0].extracted
    chunks = round(pages * sum(page.chunks for page in samples) / len(samples))
    described = chunks if settings.CONTEXT_MODEL else 0
    return Estimate(
        target=spec.target,
        kind=spec.kind,
        pages=pages,
        complete=listing.complete,
        examples=tuple(islice(known, EXAMPLES)),
        sampled=len(samples),
        chunks=chunks,
        tokens=tokens,
        described=described,
        described_tokens=described and tokens + described * TOKENS_AROUND,
        minutes=round(max(fetching, embedding) / 60, 1),
        slowest="fetching politely" if fetching > embedding else "embedding",
        notes=(*listing.notes, *failures),
        sample=SampleText(first.title, first.markdown[:SAMPLE_CHARS]),
    )


def _sampled(spec: SourceSpec, known: dict[str, None], complete: bool, failures: list[str]) -> Iterator[SampledPage]:
    """Yield the known pages, read one after the other.

    Adds to ``known`` what their links lead to, unless the listing is complete, and to ``failures`` why one could not be
    read.
    """
    seen: set[str] = set()
    while url := next((each for each in known if each not in seen), ""):
        seen.add(url)
        try:
            extracted = fetch_and_extract(spec, url)
        except PermanentError as error:
            failures.append(str(error))
            continue
        if not complete:
            known |= dict.fromkeys(follow(spec, url, extracted.links))
        chunks = split_into_chunks(extracted)
        yield SampledPage(extracted, len(chunks), sum(chunk.tokens for chunk in chunks))
