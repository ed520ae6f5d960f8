"""Passages → the same passages with what stands around them, so that a language model reads them whole.

In: passages, best first. Out: fewer or as many, in their order, each up to ANSWER_PASSAGE_TOKENS long. A chunk grows by
its neighbours: first those of its section, on both sides, then those that follow. Hits of one section become one
passage where that is long enough for them, and no text comes twice. What was found stays in ``excerpt``; position,
anchor and heading remain those of the best hit.

Text comes from the document as one piece, so that a block of code or a table that was cut is whole again; what the
first and last chunk show around theirs is kept. Two queries, however many passages: the neighbours, and the texts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from django.conf import settings
from django.db.models import Case, Q, TextField, Value, When
from django.db.models.functions import Substr

from ingestion.models import Chunk, Document
from search.questions import Passage

# Neighbours that are looked at on each side; chunks have 60 to 320 tokens.
REACH = 8

Place = tuple[int, int]  # a document and a position in it


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A chunk beside a hit, or the hit's own; ``shown`` is what readers see of it."""

    start: int
    end: int
    tokens: int
    heading: str
    shown: str


Neighbours = Mapping[Place, Neighbour]


@dataclass
class Run:
    """Neighbouring chunks that are read together, from ``first`` to ``last``, around the hits of one section."""

    passage: Passage
    first: int
    last: int
    budget: int

    def places(self, first: int | None = None, last: int | None = None) -> list[Place]:
        """Return the places of the run's chunks; ``first`` and ``last`` are positions that it is to reach, too."""
        low = self.first if first is None else min(first, self.first)
        high = self.last if last is None else max(last, self.last)
        return [(self.passage.document, position) for position in range(low, high + 1)]


def expanded(passages: Sequence[Passage]) -> list[Passage]:
    """Return the passages, grown by the chunks around them, for a language model to read."""
    if not settings.ANSWER_PASSAGE_TOKENS:
        return list(passages)
    neighbours = neighbours_of(passages)
    runs = merged(passages, neighbours)
    taken = {place for run in runs for place in run.places()}
    for run in runs:
        grow(run, neighbours, taken)
    slices = slices_of(runs, neighbours)
    return [whole(run, neighbours, slices) for run in runs]


def neighbours_of(passages: Iterable[Passage]) -> Neighbours:
    """Return the chunks around the passages, as far as they are in the index."""
    near = Q()
    for passage in passages:
        around = (max(0, passage.position - REACH), passage.position + REACH)
        near |= Q(document=passage.document, position__range=around)
    fields = ("document_id", "position", "start", "end", "tokens", "heading", "text")
    rows = Chunk.objects.live().filter(near).values_list(*fields) if near else ()
    return {(document, position): Neighbour(*rest) for document, position, *rest in rows}


def merged(passages: Sequence[Passage], neighbours: Neighbours) -> list[Run]:
    """Return the runs that the passages begin with, one for each.

    A passage near an earlier one of the same section joins that one's run instead.
    """
    runs: list[Run] = []
    for passage in passages:
        place, budget = (passage.document, passage.position), settings.ANSWER_PASSAGE_TOKENS
        for run in runs:
            joined = run.places(passage.position, passage.position)
            if is_section(joined, passage, neighbours) and tokens_of(joined, neighbours) <= run.budget + budget:
                run.first, run.last, run.budget = joined[0][1], joined[-1][1], run.budget + budget
                break
        else:
            runs.append(Run(passage, place[1], place[1], budget))
    return runs


def is_section(places: Iterable[Place], passage: Passage, neighbours: Neighbours) -> bool:
    """Return whether all of these chunks stand in the section of a passage."""
    return all(
        document == passage.document
        and (document, position) in neighbours
        and neighbours[document, position].heading == passage.heading
        for document, position in places
    )


def tokens_of(places: Iterable[Place], neighbours: Neighbours) -> float:
    """Return the tokens of chunks; endless where one of them is not known."""
    return sum(neighbours[place].tokens if place in neighbours else float("inf") for place in places)


def grow(run: Run, neighbours: Neighbours, taken: set[Place]) -> None:
    """Add neighbours until the budget is used up: the shorter side first within the section, then what follows."""
    document, hit = run.passage.document, run.passage.position
    used = tokens_of(run.places(), neighbours)
    while True:
        following, before = (document, run.last + 1), (document, run.first - 1)
        fitting = [
            place
            for place in (following, before)
            if place in neighbours and place not in taken and used + neighbours[place].tokens <= run.budget
        ]
        inside = [place for place in fitting if neighbours[place].heading == run.passage.heading]
        if not inside and following not in fitting:
            return
        added = min(inside or [following], key=lambda place: abs(place[1] - hit))
        used += neighbours[added].tokens
        taken.add(added)
        run.first, run.last = min(run.first, added[1]), max(run.last, added[1])


def slices_of(runs: Iterable[Run], neighbours: Neighbours) -> dict[int, tuple[int, str]]:
    """Return document id -> (offset, text) of the part of its Markdown that holds all its runs."""
    spans: dict[int, tuple[int, int]] = {}
    for run in runs:
        known = [neighbours[place] for place in run.places() if place in neighbours]
        if known:
            start, end = spans.get(run.passage.document, (known[0].start, known[-1].end))
            spans[run.passage.document] = min(start, known[0].start), max(end, known[-1].end)
    parts = [
        When(id=document, then=Substr("markdown", start + 1, end - start)) for document, (start, end) in spans.items()
    ]
    part = Case(*parts, default=Value(""), output_field=TextField())
    rows = Document.objects.filter(id__in=spans).order_by().annotate(part=part).values_list("id", "part")
    return {document: (spans[document][0], text) for document, text in rows}


def whole(run: Run, neighbours: Neighbours, slices: Mapping[int, tuple[int, str]]) -> Passage:
    """Return the run's passage with the text of the whole run.

    The passage is returned unchanged where the document is newer than its chunks.
    """
    places = run.places()
    if len(places) == 1 or run.passage.document not in slices or any(p not in neighbours for p in places):
        return run.passage
    begin, part = slices[run.passage.document]
    first, last = neighbours[places[0]], neighbours[places[-1]]
    for chunk in (first, last, neighbours[run.passage.document, run.passage.position]):
        raw = part[chunk.start - begin : chunk.end - begin]
        if not raw or raw not in chunk.shown:
            return run.passage
    lead = first.shown.partition(part[first.start - begin : first.end - begin])[0]
    tail = last.shown.rpartition(part[last.start - begin : last.end - begin])[2]
    text = f"{lead}{part[first.start - begin : last.end - begin]}{tail}"
    return replace(run.passage, text=text, excerpt=run.passage.text)
