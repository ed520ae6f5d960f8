"""Files of questions with known answers → questions, and documents → the names that those files use.

In: ``queries``, JSON lines of ``{"_id", "text"}``, and ``qrels``, lines of query-id, corpus-id and relevance, divided
by tabs, below a header if there is one: BEIR's files. Without qrels a query says itself what is relevant:
``{"relevant": {corpus-id: relevance}}``. ``"kind"`` groups queries, ``"answer"`` is an expected answer. Out: those with
a relevant document.

A corpus-id is a document's address, or for a source of local files the path below its folder, or for one of JSON lines
the ``_id`` of its line.

``sets/`` holds the questions that the weights of a search were chosen by, written from Django's documentation: some
with its words, some with other words for the same, some of code, settings and errors only, and some that it does not
answer.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import unquote

from ingestion.models import Document, Source
from search.exceptions import QuestionRefused
from search.questions import Passage

Qrels = Mapping[str, Mapping[str, int]]
DJANGO = Path(__file__).with_name("sets") / "django.jsonl"


@dataclass(frozen=True, slots=True)
class JudgedQuestion:
    """A question, and the relevance of each document that answers it; ``answer`` is an expected one, or empty."""

    id: str
    text: str
    kind: str
    relevant: Mapping[str, int]
    answer: str = ""


def read_set(queries: Path, qrels: Path | None = None) -> list[JudgedQuestion]:
    """Return the questions that have a relevant document. Raises QuestionRefused where there is none."""
    found = [question for question in read_all(queries, qrels) if question.relevant]
    if not found:
        raise QuestionRefused("No query has a relevant document; do the ids of both files agree?")
    return found


def read_all(queries: Path, qrels: Path | None = None) -> list[JudgedQuestion]:
    """Return all questions. Raises QuestionRefused with the line that cannot be used."""
    questions = list(read_queries(queries))
    if not qrels:
        return questions
    judged = read_qrels(qrels)
    return [replace(question, relevant=judged.get(question.id, {})) for question in questions]


def read_queries(path: Path) -> Iterator[JudgedQuestion]:
    """Yield the questions of a file. Raises QuestionRefused with the line that cannot be used."""
    for number, line in enumerate(lines_of(path), 1):
        try:
            entry = json.loads(line)
            relevant = {str(name): int(grade) for name, grade in entry.get("relevant", {}).items()}
            kind, answer = (str(entry.get(name, "")) for name in ("kind", "answer"))
            yield JudgedQuestion(str(entry["_id"]), str(entry["text"]), kind, relevant, answer)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise QuestionRefused(f'{path}, line {number}: write {{"_id": "…", "text": "…"}} ({error}).') from error


def read_qrels(path: Path) -> dict[str, dict[str, int]]:
    """Return query-id -> corpus-id -> relevance, those above 0 only.

    Raises QuestionRefused with the line that cannot be used.
    """
    found: dict[str, dict[str, int]] = defaultdict(dict)
    for number, line in enumerate(lines_of(path), 1):
        fields = line.split("\t")
        if number == 1 and not fields[-1].strip().isdecimal():
            continue
        if len(fields) != 3 or not fields[2].strip().lstrip("-").isdecimal():
            raise QuestionRefused(f"{path}, line {number}: write query-id, corpus-id and relevance, divided by tabs.")
        if int(fields[2]) > 0:
            found[fields[0]][fields[1]] = int(fields[2])
    return dict(found)


def lines_of(path: Path) -> Iterator[str]:
    """Yield the lines of a file that are not empty. Raises QuestionRefused where it cannot be read."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            yield from (stripped for line in file if (stripped := line.rstrip("\r\n")))
    except (OSError, UnicodeDecodeError) as error:
        raise QuestionRefused(f"{path} cannot be read: {error}.") from error


class DocumentNames:
    """What the sources' documents are called: by address, by ``_id`` of a line, by path below a folder."""

    def __init__(self) -> None:
        self.identifiers = identifiers()
        folders = Source.objects.filter(kind=Source.Kind.FILES).values_list("target", flat=True)
        self.folders = [f"{Path(folder).as_uri()}/" for folder in folders if folder.startswith("/")]

    def of(self, address: str, relevant: Mapping[str, int]) -> str:
        """Return the name that ``relevant`` uses for the document at ``address``, or the address without one."""
        if address in relevant:
            return address
        if named := self.identifiers.get(address):
            return named
        if address.startswith("jsonl:"):
            return unquote(address.partition("#")[2])
        below = (unquote(address.removeprefix(folder)) for folder in self.folders if address.startswith(folder))
        return next((name for name in below if name in relevant), address)

    def ranked(self, passages: Iterable[Passage], relevant: Mapping[str, int]) -> list[str]:
        """Return the names of the documents in the order of their best passages, each followed by its copies."""
        addresses = (url for passage in passages for url in (passage.url, *(copy.url for copy in passage.copies)))
        return list(dict.fromkeys(self.of(url, relevant) for url in addresses))


def sources_of(questions: Iterable[JudgedQuestion]) -> dict[str, str]:
    """Return question id -> the name of the source that holds a document that answers it, where one does."""
    names, sources = DocumentNames(), dict[str, str]()
    questions = list(questions)
    wanted = {name: grade for question in questions for name, grade in question.relevant.items()}
    for address, source in Document.objects.holding_text().values_list("url", "source__name").iterator():
        sources[names.of(address, wanted)] = source
    found = {q.id: [sources[name] for name in q.relevant if name in sources] for q in questions}
    return {id: held[0] for id, held in found.items() if held}


def identifiers() -> dict[str, str]:
    """Return address -> ``_id`` for the lines of JSONL sources that give both a URL and an ``_id``."""
    found: dict[str, str] = {}
    for target in Source.objects.filter(kind=Source.Kind.JSONL).values_list("target", flat=True):
        for line in lines_of(Path(target)):
            with suppress(ValueError, KeyError, TypeError):
                entry = json.loads(line)
                found.setdefault(str(entry["url"]), str(entry["_id"]))
    return found
