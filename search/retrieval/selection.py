"""A question → where it is searched: in which sources, and below which addresses.

In: the question's source, version and path, and all sources. Out: a ``Selection``; Milvus searches nowhere else, so
that the candidates of a narrow question are as many as those of a wide one. Of a product whose sources name their
versions, only the newest is searched unless the question names a version or a source. A version that is being read for
the first time is not the newest before its first run has ended. Raises QuestionRefused or NothingIndexed.
"""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, urljoin

from django.db.models import Max, Min

from ingestion.models import Document, Run, Source
from search.exceptions import NothingIndexed, QuestionRefused
from search.questions import ANY_VERSION, Question
from search.retrieval.compiled import Statement, compiled, rows_of
from search.retrieval.versions import age, is_version

# What addresses hold as it is, those of websites and those of files; "%" belongs to what is quoted already.
KEPT_IN_ADDRESSES = ("/:?#@!$&'()*+,;=%", "/")


@dataclass(frozen=True, slots=True)
class Selection:
    """The ids of the sources and the beginnings of the addresses; none: all."""

    source_ids: tuple[int, ...] = ()
    prefixes: tuple[str, ...] = ()


class Place(NamedTuple):
    """What has to be known of a source to tell whether it is searched."""

    pk: int
    name: str
    kind: str
    target: str
    product: str
    version: str
    deleting: bool


def places() -> list[Place]:
    """Return all sources."""
    return [Place(*row) for row in rows_of(all_sources())]


@functools.cache
def all_sources() -> Statement:
    """Return the query for all sources."""
    return compiled(Source.objects.values_list(*Place._fields))


def selected(question: Question, sources: Sequence[Place]) -> Selection:
    """Return the sources, of all that there are, and beginnings of addresses that the question is searched in.

    Sources that the caller does not see, or that are being deleted, are left out here already: thousands of their hits
    could hide everything else. Raises NothingIndexed or QuestionRefused.
    """
    living = [source for source in sources if not source.deleting and question.caller.sees(source.pk)]
    chosen = of_version(named(living, question.source), question)
    if not chosen and sources:
        raise NothingIndexed("Nothing has been indexed yet. Add a source and wait until it is indexed.")
    prefixes = tuple(sorted({prefix for source in chosen for prefix in prefixes_of(source, question.path)}))
    if question.path and not prefixes:
        raise QuestionRefused(f"No source has addresses that begin with {question.path!r}.")
    return Selection(() if len(chosen) == len(sources) else tuple(source.pk for source in chosen), prefixes)


def named(sources: Sequence[Place], name: str) -> list[Place]:
    """Return the source of this name in a list, or all where the name is empty. Raises QuestionRefused."""
    found = [source for source in sources if not name or source.name == name]
    if name and not found:
        raise QuestionRefused(f"There is no source named {name!r}.")
    return found


def of_version(sources: Sequence[Place], question: Question) -> list[Place]:
    """Return the sources of the version that is asked for; of each product's versions that match only the newest."""
    asked = question.version
    if asked == ANY_VERSION or (question.source and not asked):
        return list(sources)
    products: defaultdict[str, list[Place]] = defaultdict(list)
    for source in sources:
        if source.version and source.product and (not asked or is_version(source.version, asked)):
            products[source.product.casefold()].append(source)
    if asked and not products:
        held = sorted({source.version for source in sources if source.product and source.version}, key=age)
        known = f"There are {', '.join(held)}." if held else "No source names its version."
        raise QuestionRefused(f"There is no version {asked!r}. {known}")
    current: set[int] = set()
    for versions in products.values():
        newest = max(age(source.version) for source in read_once(versions))
        current |= {source.pk for source in versions if age(source.version) == newest}
    return [s for s in sources if s.pk in current or (not asked and not (s.product and s.version))]


def read_once(versions: list[Place]) -> list[Place]:
    """Return the sources with a finished run; all where there is none, or only one source."""
    if len(versions) < 2:
        return versions
    finished = Run.objects.filter(source__in=[source.pk for source in versions], state=Run.State.FINISHED)
    read = set(finished.order_by().values_list("source", flat=True).distinct())
    return [source for source in versions if source.pk in read] or versions


def prefixes_of(source: Place, path: str) -> set[str]:
    """Return what the addresses of a source's documents begin with when they lie below ``path``; none: they cannot.

    ``path`` is a whole address, or relative to the source's first page or folder; with a slash in front it begins at
    the host. It may be written as people do, with spaces and letters of all scripts.
    """
    scheme, mark, rest = path.rpartition("://")
    spelled = {path, *(f"{scheme}{mark}{quote(rest, safe=kept)}" for kept in KEPT_IN_ADDRESSES)} - {""}
    try:
        return {prefix for each in spelled if (prefix := prefix_of(source, each))}
    except ValueError:  # no address begins with "//["
        return set()


def prefix_of(source: Place, path: str) -> str:
    """Return what the addresses of a source's documents begin with below one spelling of a path; empty: they cannot."""
    if "://" in path:
        return path
    if source.target.startswith(("http://", "https://")):
        return urljoin(source.target, path)
    if source.kind == Source.Kind.FILES:
        return f"{Path(source.target).as_uri()}/{path.lstrip('/')}"
    ends = Document.objects.filter(source=source.pk).aggregate(low=Min("url"), high=Max("url"))
    both = zip(ends["low"] or "", ends["high"] or "", strict=False)
    root = "".join(low for low, _ in takewhile(lambda pair: pair[0] == pair[1], both)).rpartition("/")[0]
    return f"{root}/{path.lstrip('/')}" if root else ""
