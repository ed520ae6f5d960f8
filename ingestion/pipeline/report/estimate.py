"""What ingesting a source would bring and cost, without storing anything: `manage.py estimate`.

The source is listed as a run would list it; of a website that has no complete list, links of as many pages as the
sample holds are followed. Pages spread evenly over what is known are fetched, extracted and cut into chunks; the rest
is proportion.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from statistics import mean, stdev

from django.conf import settings

from ingestion.context.sentence import TOKENS_AROUND
from ingestion.exceptions import FetchFailed, PermanentError, SourceError, Throttled
from ingestion.models import Source
from ingestion.pipeline.report.preview import fetch_and_extract, split_into_chunks
from ingestion.pipeline.state.runs import embedding_rate
from ingestion.sources.registry import follow, list_documents
from ingestion.types import Extracted, Listing, SourceSpec, TextChunk
from ingestion.words.weights import chunk_weights

# Sizes of pages differ by more than their mean: with 200 of Django's 656 the standard error is 6 %. Pages of a site are
# fetched at its pace, a second each.
SAMPLED_FILES, SAMPLED_WEB_PAGES = 200, 50
# From then on each further one would cost a pause of up to a minute.
FAILURES_IN_A_ROW = 3
SAMPLE_CHARS = 1200
EXAMPLES = 3
GOLDEN_RATIO = (5**0.5 - 1) / 2
# Before anything was embedded here: the rate of the stand-in model on two CPU cores; a GPU is far faster.
ASSUMED_TOKENS_PER_SECOND = 4000.0
# Tokens a second of BGE-M3: half of what the devices' float16 arithmetic allows for texts of 256 tokens (its network
# takes 0.63 GFLOP a token). Computed, not measured.
DEVICES = {"h200": 630_000.0, "h100": 600_000.0, "a100": 248_000.0, "l4": 96_000.0, "rtx4070super": 57_000.0}
# A row's numbers: keys, ids, and what Milvus keeps for each row.
ROW_BYTES = 100
# Each channel of sparse vectors takes 8 bytes a term, and a chunk has about as many different tokens as words: 65 and
# 66 in Django's documentation.
SPARSE_BYTES = 2 * 8


@dataclass(frozen=True, slots=True)
class SampleText:
    """The title and the beginning of the Markdown of the first page of the sample."""

    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Cost:
    """Money, in the currency of the PRICE_ settings: for the work once, and for Milvus each month."""

    once: float
    monthly: float


@dataclass(frozen=True, slots=True)
class Estimate:
    """What ingesting a source would bring and cost. `manage.py estimate --json` prints these names as keys."""

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
    standard_error: float  # of chunks and tokens, as a share, given the number of pages; 0: none
    tokens_per_second: float
    rate_from: str  # where that is known from
    embed_seconds: float
    milvus_bytes: int
    cost: Cost
    minutes: float
    slowest: str  # what the minutes are spent with: "fetching politely" or "embedding"
    notes: tuple[str, ...]  # what was left out, and why pages of the sample could not be read
    sample: SampleText


@dataclass(frozen=True, slots=True)
class SampledPage:
    """A page of the sample; one that could not be read has an error, no text and no chunks."""

    extracted: Extracted | None = None
    chunks: Sequence[TextChunk] = ()
    seconds: float = 0.0  # of extracting and cutting
    error: PermanentError | FetchFailed | None = None

    def tokens(self) -> int:
        """Return how many tokens are embedded of it."""
        return sum(chunk.tokens for chunk in self.chunks)

    def milvus_bytes(self) -> int:
        """Return what its rows take in Milvus: vectors of float32, sparse vectors, and texts."""
        title = self.extracted.title if self.extracted else ""
        return sum(
            4 * settings.EMBED_DIMENSION
            + SPARSE_BYTES * len(chunk_weights(chunk.shown, chunk.heading, title).terms)
            + len(f"{chunk.shown}{chunk.heading}{title}".encode())
            + ROW_BYTES
            for chunk in self.chunks
        )


def estimate(spec: SourceSpec, *, sample: int = 0, rate: float = 0.0) -> Estimate:
    """Return what ingesting one source would cost, from ``sample`` pages (0: by kind), embedded at ``rate`` tokens/s.

    Pages that cannot be fetched this time are left out of the sample, and counted in a note. Raises SourceError when
    not one page can be read, with the reason of the last.
    """
    listing = list_documents(spec)
    known = {each.url: None for each in islice(listing.documents, spec.max_pages or None)}
    wanted = sample or (SAMPLED_WEB_PAGES if spec.kind in Source.WEB else SAMPLED_FILES)
    tried = list(islice(_sampled(spec, known, listing, wanted), wanted))
    failures = [str(page.error) for page in tried if page.error]
    samples = [page for page in tried if not isinstance(page.error, FetchFailed)]
    first = next((page.extracted for page in samples if page.extracted), None)
    if first is None:
        raise SourceError(failures[-1] if failures else f"{spec.target} holds nothing to index.")
    pages = min(len(known), spec.max_pages or len(known))
    tokens = pages * mean(page.tokens() for page in samples)
    milvus_bytes = pages * mean(page.milvus_bytes() for page in samples)
    speed, rate_from = (rate, "as named") if rate else known_rate()
    # Fetching and embedding run side by side, so the slower one decides.
    delay = settings.CRAWL_DELAY_SECONDS if spec.crawl_policy.delay_seconds is None else spec.crawl_policy.delay_seconds
    fetching = pages * delay if spec.kind in Source.WEB else 0.0
    embedding = tokens / speed
    chunks = round(pages * mean(len(page.chunks) for page in samples))
    described = chunks if settings.CONTEXT_MODEL else 0
    return Estimate(
        target=spec.target,
        kind=spec.kind,
        pages=pages,
        complete=listing.complete,
        examples=tuple(islice(known, EXAMPLES)),
        sampled=len(samples),
        chunks=chunks,
        tokens=round(tokens),
        described=described,
        described_tokens=described and round(tokens) + described * TOKENS_AROUND,
        standard_error=standard_error([page.tokens() for page in samples], pages),
        tokens_per_second=round(speed),
        rate_from=rate_from,
        embed_seconds=embedding,
        milvus_bytes=round(milvus_bytes),
        cost=cost(embedding, pages * mean(page.seconds for page in samples), milvus_bytes),
        minutes=round(max(fetching, embedding) / 60, 1),
        slowest="fetching politely" if fetching > embedding else "embedding",
        notes=(*listing.notes, *failures, *left_out(len(tried) - len(samples), len(tried))),
        sample=SampleText(first.title, first.markdown[:SAMPLE_CHARS]),
    )


def left_out(unread: int, tried: int) -> Iterator[str]:
    """Yield a note that ``unread`` of the ``tried`` pages could not be fetched; none when all could."""
    if unread:
        yield f"{unread} of {tried} pages of the sample could not be fetched this time; the figures are of the others."


def known_rate() -> tuple[float, str]:
    """Return the embedder's tokens a second, and words that say where the figure is from.

    It is measured in the last runs that embedded; before the first, it is assumed.
    """
    if measured := embedding_rate():
        return measured, "measured in the last runs here"
    return ASSUMED_TOKENS_PER_SECOND, "assumed: the stand-in on two cores"


def cost(embed_seconds: float, cpu_seconds: float, milvus_bytes: float) -> Cost:
    """Return what the processors' time costs once, and the room in Milvus a month, at the prices in the settings."""
    hours = embed_seconds / 3600 * settings.PRICE_GPU_HOUR + cpu_seconds / 3600 * settings.PRICE_CPU_HOUR
    return Cost(once=hours, monthly=milvus_bytes / 1e9 * settings.PRICE_GB_MONTH)


def standard_error(sizes: Sequence[int], pages: int) -> float:
    """Return the standard error of the mean of ``sizes``, a sample of ``pages`` pages, as a share of that mean."""
    if len(sizes) < 2 or len(sizes) >= pages or not any(sizes):
        return 0.0
    left_out: float = 1 - len(sizes) / pages
    return float(round(stdev(sizes) / mean(sizes) / len(sizes) ** 0.5 * left_out**0.5, 3))


def spread(urls: Sequence[str], wanted: int) -> Sequence[str]:
    """Return ``wanted`` of the addresses, evenly spread; all of them when there are not more."""
    return [urls[n * len(urls) // wanted] for n in range(wanted)] if wanted < len(urls) else urls


def unread(urls: Sequence[str], seen: Collection[str]) -> str:
    """Return the address to read next, "" after the last one.

    Steps of the golden ratio spread them evenly, however many become known on the way: the pages that a start page
    links to first are longer than the others.
    """
    start = int(len(seen) * GOLDEN_RATIO % 1 * len(urls))
    return next((url for url in (*urls[start:], *urls[:start]) if url not in seen), "")


def _sampled(spec: SourceSpec, known: dict[str, None], listing: Listing, wanted: int) -> Iterator[SampledPage]:
    """Yield pages read one after the other: spread over a complete listing, otherwise over what links lead to so far.

    Adds to ``known`` what links lead to, unless the listing is complete. Ends early where the host wants to be left
    alone, or gives nothing FAILURES_IN_A_ROW times.
    """
    failed = 0
    complete = spread(list(known), wanted) if listing.complete else ()
    seen: set[str] = set()
    while url := unread(complete or list(known)[: spec.max_pages or None], seen):
        seen.add(url)
        try:
            extracted = fetch_and_extract(spec, url)
        except (PermanentError, FetchFailed) as error:
            yield SampledPage(error=error)
            failed = failed + 1 if isinstance(error, FetchFailed) else 0
            if isinstance(error, Throttled) or failed == FAILURES_IN_A_ROW:
                return
            continue
        failed = 0
        if not listing.complete:
            known |= dict.fromkeys(follow(spec, url, extracted.links))
        started = time.process_time()
        yield SampledPage(extracted, split_into_chunks(extracted), time.process_time() - started)
