"""What ingesting a source would cost, without storing anything: `manage.py ingest --dry-run`.

The listing is read as a run would read it; of a website that has no complete list, as many pages as the
sample holds are followed. A few pages are fetched, read and cut; the rest is proportion.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from django.conf import settings

from ingestion.exceptions import PermanentError, SourceError
from ingestion.models import Source
from ingestion.pipeline.report.preview import cut, extracted_of
from ingestion.pipeline.state.runs import embedding_rate
from ingestion.sources.registry import follow, list_documents
from ingestion.types import Extracted, Json, SourceSpec

SAMPLED_PAGES = 5
SAMPLE_CHARS = 1200
EXAMPLES = 3
# Before anything was embedded here: the stand-in on two CPU cores; a GPU is far faster.
ASSUMED_TOKENS_PER_SECOND = 4000.0


class Sample(NamedTuple):
    url: str
    extracted: Extracted
    chunks: int
    tokens: int


def estimate(spec: SourceSpec) -> Json:
    """Figures for one source. Raises SourceError when not one page can be read, with the last reason."""
    listing = list_documents(spec)
    known = {each.url: None for each in islice(listing.documents, spec.max_pages or None)}
    failures: list[str] = []
    samples = list(islice(sampled(spec, known, listing.complete, failures), SAMPLED_PAGES))
    if not samples:
        raise SourceError(failures[-1] if failures else f"{spec.target} holds nothing to index.")
    pages = min(len(known), spec.max_pages or len(known))
    chunks = round(pages * sum(s.chunks for s in samples) / len(samples))
    tokens = round(pages * sum(s.tokens for s in samples) / len(samples))
    return {
        "target": spec.target,
        "kind": spec.kind,
        "pages": pages,
        "complete": listing.complete,
        "examples": list(islice(known, EXAMPLES)),
        "sampled": len(samples),
        "chunks": chunks,
        "tokens": tokens,
        **cost(spec, pages, tokens),
        "notes": [*listing.notes, *failures],
        "sample": {"title": samples[0].extracted.title, "text": samples[0].extracted.markdown[:SAMPLE_CHARS]},
    }


def sampled(spec: SourceSpec, known: dict[str, None], complete: bool, failures: list[str]) -> Iterator[Sample]:
    """Pages read one after the other; their links join ``known``."""
    seen: set[str] = set()
    while url := next((each for each in known if each not in seen), ""):
        seen.add(url)
        try:
            extracted = extracted_of(spec, url)
        except PermanentError as error:
            failures.append(str(error))
            continue
        if not complete:
            known |= dict.fromkeys(follow(spec, url, extracted.links))
        chunks = cut(extracted)
        yield Sample(url, extracted, len(chunks), sum(chunk.tokens for chunk in chunks))


def cost(spec: SourceSpec, pages: int, tokens: int) -> Json:
    """Minutes of the slower of the two that run side by side: fetching politely, and embedding."""
    delay = settings.CRAWL_DELAY_SECONDS if spec.crawl_policy.delay_seconds is None else spec.crawl_policy.delay_seconds
    fetching = pages * delay if spec.kind in Source.WEB else 0.0
    embedding = tokens / (embedding_rate() or ASSUMED_TOKENS_PER_SECOND)
    slowest = "fetching politely" if fetching > embedding else "embedding"
    return {"minutes": round(max(fetching, embedding) / 60, 1), "slowest": slowest}
