"""Links of a page -> Document rows of the same run, as far as the source's bounds allow.

In: a document, the page's final address and its links. Out: rows that wait to be fetched. What is left out is noted on
the run as a remark with an example, so that staff see why a site seems incomplete.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from django.db import transaction
from django.db.models import Count

from ingestion.models import Document, Run
from ingestion.pipeline.discover.list_source import register
from ingestion.sources.registry import follow
from ingestion.sources.web.url_scope import template
from ingestion.sources.web.website import MAX_LINKS
from ingestion.types import Listed


def follow_links(document: Document, page_url: str, links: Sequence[str]) -> None:
    """Queue the linked pages that belong to the source and are new to the run, within the source's bounds."""
    run = document.run
    if run is None or run.complete:
        return
    found = follow(document.source.spec(), page_url, links)
    if found and len(links) > MAX_LINKS:
        add_remark(run, f"Of a page with more than {MAX_LINKS} links, the others are not followed.", page_url)
    known = set(Document.objects.filter(run=run, url__in=found).values_list("url", flat=True))
    fresh = [url for url in found if url not in known]
    if fresh and document.depth >= document.source.max_depth:
        add_remark(run, f"Pages deeper than {document.source.max_depth} links are left out (max_depth).", fresh[0])
        return
    register(run, map(Listed, within_bounds(run, fresh)), depth=document.depth + 1)


def within_bounds(run: Run, urls: list[str]) -> list[str]:
    """Return the first of these addresses, as many as ``max_alike`` and ``max_pages`` of the source leave room for."""
    templates = {url: template(url)[:300] for url in urls}
    rows = Document.objects.filter(run=run, template__in=set(filter(None, templates.values()))).order_by()
    taken = Counter(dict(rows.values_list("template").annotate(n=Count("*"))))
    most_alike, most_pages = run.source.max_alike, run.source.page_bound()
    allowed = []
    for url, form in templates.items():
        taken[form] += 1
        if not (form and most_alike) or taken[form] <= most_alike:
            allowed.append(url)
        else:
            add_remark(run, f"More than {most_alike} pages of the form {form} are left out (max_alike).", url)
    if not most_pages:
        return allowed
    room = max(0, most_pages - Document.objects.filter(run=run).count())
    if len(allowed) > room:
        add_remark(run, f"The source's bound of {most_pages} pages is reached (max_pages).", allowed[room])
    return allowed[:room]


@transaction.atomic
def add_remark(run: Run, words: str, example: str) -> None:
    """Note on the run what was left out and one example of it; the first example stays."""
    row = Run.objects.select_for_update().get(id=run.pk)
    if words not in row.remarks:
        row.remarks = {**row.remarks, words: example}
        row.save(update_fields=["remarks"])
