"""The pages that a page links to join the run, as far as the source's budgets allow. What is left out is
remarked on the run with an example, so that staff see why a site seems incomplete."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from django.db import transaction
from django.db.models import Count

from ingestion.models import Document, Run
from ingestion.pipeline.discover.list_source import register
from ingestion.sources.registry import follow
from ingestion.sources.web.url_scope import template
from ingestion.sources.web.website import MAX_LINKS
from ingestion.types import Listed


def follow_links(document: Document, page_url: str, links: Sequence[str]) -> None:
    run = document.run
    if run is None or run.complete:
        return
    found = follow(document.source.spec(), page_url, links)
    if found and len(links) > MAX_LINKS:
        remark(run, f"Of a page with more than {MAX_LINKS} links, the others are not followed.", page_url)
    fresh = unknown(run, found)
    if fresh and document.depth >= document.source.max_depth:
        remark(run, f"Pages deeper than {document.source.max_depth} links are left out (max_depth).", fresh[0])
        return
    register(run, map(Listed, affordable(run, fresh)), depth=document.depth + 1)


def unknown(run: Run, urls: list[str]) -> list[str]:
    there = set(Document.objects.filter(run=run, url__in=urls).values_list("url", flat=True))
    return [url for url in urls if url not in there]


def affordable(run: Run, urls: list[str]) -> list[str]:
    """As many as the source's bound on pages leaves room for."""
    allowed = list(within_templates(run, urls))
    bound = run.source.page_bound()
    room = max(0, bound - Document.objects.filter(run=run).count()) if bound else len(allowed)
    if len(allowed) > room:
        remark(run, f"The source's bound of {bound} pages is reached (max_pages).", allowed[room])
    return allowed[:room]


def within_templates(run: Run, urls: list[str]) -> Iterator[str]:
    shapes = {url: template(url)[:300] for url in urls}
    rows = Document.objects.filter(run=run, template__in=set(filter(None, shapes.values()))).order_by()
    taken = Counter(dict(rows.values_list("template").annotate(n=Count("*"))))
    bound = run.source.max_alike
    for url, shape in shapes.items():
        taken[shape] += 1
        if not (shape and bound) or taken[shape] <= bound:
            yield url
        else:
            remark(run, f"More than {bound} pages of the form {shape} are left out (max_alike).", url)


@transaction.atomic
def remark(run: Run, words: str, example: str) -> None:
    """Once per run and reason."""
    row = Run.objects.select_for_update().get(id=run.pk)
    if words not in row.remarks:
        row.remarks = {**row.remarks, words: example}
        row.save(update_fields=["remarks"])
