"""Ingesting a website again: what is spared, what leaves, what is held for a person."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from billiard.exceptions import SoftTimeLimitExceeded
from django.db import connection
from django.utils import timezone

from ingestion.exceptions import (
    AddressRefused,
    ErrorPage,
    FetchFailed,
    HostBusy,
    PageGone,
    Throttled,
    UnsupportedContent,
)
from ingestion.models import Chunk, Document, Run, Source
from ingestion.pipeline.discover import follow_links, list_source
from ingestion.pipeline.discover.list_source import list_run
from ingestion.pipeline.dispatcher import startable_sources
from ingestion.pipeline.process import outcomes, process_document
from ingestion.pipeline.state.removals import accept_missing
from ingestion.pipeline.state.runs import start_run, summary
from ingestion.pipeline.state.steering import cancel
from ingestion.pipeline.state.transitions import finish_runs
from ingestion.sources.registry import BULK, KINDS
from ingestion.sources.web import crawler, website
from ingestion.types import Listed, Listing, Page, SourceSpec, Validators

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("model_path")]

HOME = "https://docs.example.org/"
HREF = re.compile(r'href="([^"]+)"')


class Site:
    """A website in memory: a page is its HTML, or the error that fetching it raises."""

    def __init__(self) -> None:
        self.pages: dict[str, str | Exception] = {}
        self.versions: dict[str, str] = {}
        self.complete = False
        self.etags = True
        self.moved: dict[str, str] = {}
        self.asked: list[str] = []

    def normalise(self, target: str) -> str:
        return target

    def list_documents(self, spec: SourceSpec) -> Listing:
        listed = [Listed(url, self.versions.get(url, "")) for url in (self.pages if self.complete else [spec.target])]
        return Listing(listed, complete=self.complete)

    def follow(self, spec: SourceSpec, page_url: str, links: Sequence[str]) -> list[str]:
        return [link for link in links if link.startswith(spec.target)]

    def fetch(self, spec: SourceSpec, url: str, known: Validators = Validators()) -> Page | None:
        self.asked.append(url)
        url = self.moved.get(url, url)
        page = self.pages.get(url, PageGone(f"{url} does not exist (HTTP 404)"))
        if isinstance(page, Exception):
            raise page
        etag = f'"{hash(page)}"' if self.etags else ""
        return None if etag and etag == known.etag else Page(url, page.encode(), "text/html", etag=etag)


def html(name: str, text: str = "", links: Iterable[str] = (), head: str = "") -> str:
    anchors = "".join(f'<a href="{link}">{link}</a> ' for link in links)
    body = text or f"{name} explains itself at length. " * 20
    return f"<html><head>{head}</head><body><main><h1>{name}</h1><p>{body}</p>{anchors}</main></body></html>"


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Site:
    site = Site()
    monkeypatch.setitem(KINDS, "website", site)
    children = [f"{HOME}page{n}" for n in range(20)]
    site.pages = {url: html(url[-6:]) for url in children}
    site.pages[HOME] = html("Home", links=children)
    return site


@pytest.fixture
def source() -> Source:
    return Source.objects.create(name="docs", kind="website", target=HOME)


def ingest(source: Source) -> Run:
    """A whole run, as the workers would do it, with the embedder's part pretended."""
    run = start_run(Source.objects.get(id=source.pk))
    Run.objects.lease_for_listing(until=timezone.now())
    list_run(run.pk)
    while documents := list(Document.objects.filter(run=run, state=Document.State.WAITING)[:1]):
        Document.objects.lease([documents[0].pk], until=timezone.now())
        process_document.process(documents[0].pk, documents[0].attempts)
        pretend_indexed(run)
    finish_runs()
    run.refresh_from_db()
    return run


def pretend_indexed(run: Run) -> None:
    Chunk.objects.filter(state=Chunk.State.WAITING).update(state=Chunk.State.INDEXED)
    Document.objects.filter(run=run, state=Document.State.EMBEDDING).update(state=Document.State.INDEXED)


def states(source: Source) -> dict[str, int]:
    rows = Document.objects.filter(source=source).values_list("state", flat=True)
    return {state: list(rows).count(state) for state in set(rows)}


def test_an_unchanged_site_with_etags_costs_requests_only(site: Site, source: Source) -> None:
    assert summary([ingest(source).pk]).indexed == 21
    figures = summary([ingest(source).pk])
    assert (figures.unchanged, figures.embedded) == (21, 0)
    assert figures.saved.pages == {"304": 21}
    assert figures.saved.tokens > 0


def test_a_run_keeps_its_figures_when_a_later_run_takes_its_documents(site: Site, source: Source) -> None:
    first = ingest(source)
    ingest(source)
    first.refresh_from_db()
    assert not first.documents.exists()
    assert (first.figures["documents"], first.figures["indexed"]) == (21, 21)


def test_without_etags_equal_bytes_are_not_read_again(
    site: Site, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.etags = False
    ingest(source)
    monkeypatch.setattr(process_document, "extract", lambda page: pytest.fail("extracted again"))
    assert summary([ingest(source).pk]).saved.pages == {"bytes": 21}


def test_equal_text_in_other_bytes_is_not_cut_again(
    site: Site, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    ingest(source)
    site.pages = {url: f"{page}<!-- built today -->" for url, page in site.pages.items()}
    monkeypatch.setattr(process_document, "chunk", lambda *a, **k: pytest.fail("cut again"))
    assert summary([ingest(source).pk]).saved.pages == {"text": 21}
    assert summary([ingest(source).pk]).saved.pages == {"304": 21}


def test_a_listed_version_that_is_stored_spares_the_request(
    site: Site, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(list_source, "SAMPLE_SHARE", 0.0)
    site.complete, site.versions = True, dict.fromkeys(site.pages, "2026-11-01")
    ingest(source)
    site.asked.clear()
    site.versions[HOME] = "2026-11-02"
    figures = summary([ingest(source).pk])
    assert site.asked == [HOME]
    assert figures.saved.pages == {"listing": 20, "304": 1}


def test_dates_that_lie_are_not_trusted_again(site: Site, source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(list_source, "SAMPLE_SHARE", 1.0)
    site.complete, site.versions = True, dict.fromkeys(site.pages, "2026-11-01")
    ingest(source)
    site.pages[HOME] = html("Home", "Rewritten without a new date. " * 20)
    ingest(source)
    source.refresh_from_db()
    assert not source.trusts_dates
    monkeypatch.setattr(list_source, "SAMPLE_SHARE", 0.0)
    site.asked.clear()
    ingest(source)
    assert len(site.asked) == 21


def test_one_edited_paragraph_embeds_few_chunks(site: Site, source: Source) -> None:
    ingest(source)
    site.pages[f"{HOME}page3"] = html("page3", "An edited paragraph. " * 20)
    figures = summary([ingest(source).pk])
    assert (figures.indexed, figures.unchanged) == (1, 20)
    assert 1 <= figures.embedded <= 3


def test_a_deleted_page_answers_until_a_second_run_confirms_it(site: Site, source: Source) -> None:
    ingest(source)
    del site.pages[f"{HOME}page3"]
    ingest(source)
    document = Document.objects.get(url=f"{HOME}page3")
    assert document.state == Document.State.MISSING
    assert "kept until the next run" in document.error
    assert document.chunks.live().exists()
    ingest(source)
    document.refresh_from_db()
    assert document.state == Document.State.GONE
    assert not document.chunks.live().exists()


def test_a_page_that_comes_back_is_counted_anew(site: Site, source: Source) -> None:
    ingest(source)
    page = site.pages.pop(f"{HOME}page3")
    ingest(source)
    site.pages[f"{HOME}page3"] = page
    ingest(source)
    document = Document.objects.get(url=f"{HOME}page3")
    assert (document.state, document.misses, document.error) == (Document.State.UNCHANGED, 0, "")


def test_a_page_that_a_complete_listing_leaves_out_is_gone_at_once(site: Site, source: Source) -> None:
    site.complete = True
    ingest(source)
    del site.pages[f"{HOME}page3"]
    ingest(source)
    assert states(source) == {"unchanged": 20, "gone": 1}


@pytest.mark.parametrize("complete", [True, False])
def test_half_a_site_that_vanishes_is_held_until_a_person_agrees(complete: bool, site: Site, source: Source) -> None:
    site.complete = complete
    ingest(source)
    for n in range(11):
        del site.pages[f"{HOME}page{n}"]
    ingest(source)
    run = ingest(source)
    assert run.state == Run.State.HELD
    assert "11 of 21 pages are missing" in run.error
    assert states(source) == {"unchanged": 10, "missing": 11}
    assert all(document.chunks.live().exists() for document in Document.objects.all())
    assert accept_missing(source) == 11
    run.refresh_from_db()
    assert (run.state, run.error) == (Run.State.FINISHED, "")
    assert states(source) == {"unchanged": 10, "gone": 11}


@pytest.mark.parametrize("error", [ErrorPage("a login wall"), ErrorPage("an empty shell")])
def test_a_page_that_turns_into_a_shell_keeps_its_text(error: Exception, site: Site, source: Source) -> None:
    ingest(source)
    site.pages[f"{HOME}page3"] = error
    ingest(source)
    document = Document.objects.get(url=f"{HOME}page3")
    assert (document.state, document.error) == (Document.State.UNCHANGED, str(error))
    assert document.chunks.live().exists()


def test_a_page_that_shrinks_keeps_its_text_until_it_is_seen_twice(site: Site, source: Source) -> None:
    url = f"{HOME}page3"
    site.pages[url] = html("page3", "A long and useful page. " * 200)
    ingest(source)
    site.pages[url] = html("page3", "Sorry.")
    ingest(source)
    document = Document.objects.get(url=url)
    assert "shrank from" in document.error
    assert len(document.markdown) > 2000
    ingest(source)
    document.refresh_from_db()
    assert "Sorry." in document.markdown
    assert (document.state, document.error) == (Document.State.INDEXED, "")


def test_five_addresses_of_one_text_are_one_document(site: Site, source: Source) -> None:
    copies = [f"{HOME}copy{n}" for n in range(5)]
    site.pages |= dict.fromkeys(copies, html("The same"))
    site.pages[HOME] = html("Home", links=copies)
    ingest(source)
    rows = Document.objects.filter(url__in=copies)
    original = rows.get(state=Document.State.INDEXED)
    assert rows.filter(state=Document.State.DUPLICATE, duplicate_of=original, chunk_count=0).count() == 4
    assert Chunk.objects.filter(document__in=rows).values("document").distinct().count() == 1
    figures = summary([ingest(source).pk])
    assert (figures.duplicates, figures.embedded) == (4, 0)


def test_a_frameset_is_no_document_and_its_frames_are(site: Site, source: Source) -> None:
    site.pages = {
        HOME: f"<frameset><frame src='{HOME}toc'><frame src='{HOME}main'></frameset>",
        f"{HOME}toc": html("Contents", links=[f"{HOME}more"]),
        f"{HOME}main": html("Main"),
        f"{HOME}more": html("More"),
    }
    run = ingest(source)
    assert states(source) == {"gone": 1, "indexed": 3}
    assert Document.objects.get(url=HOME).state == Document.State.GONE
    assert run.state == Run.State.FINISHED


def test_a_duplicate_stands_for_itself_when_its_original_changes(site: Site, source: Source) -> None:
    a, b = f"{HOME}a", f"{HOME}b"
    site.pages = {HOME: html("Home", links=[a, b]), a: html("The same"), b: html("The same")}
    ingest(source)
    site.pages[a] = html("Different now")
    ingest(source)
    assert set(Document.objects.values_list("url", "state")) == {
        (HOME, "unchanged"),
        (a, "indexed"),
        (b, "indexed"),
    }


def test_a_duplicate_stands_for_itself_when_its_original_is_gone(site: Site, source: Source) -> None:
    a, b = f"{HOME}a", f"{HOME}b"
    site.pages = {HOME: html("Home", links=[a, b]), a: html("The same"), b: html("The same")}
    ingest(source)
    del site.pages[a]
    ingest(source)
    assert set(Document.objects.values_list("url", "state")) == {(HOME, "unchanged"), (a, "missing"), (b, "indexed")}
    ingest(source)
    assert set(Document.objects.values_list("url", "state")) == {(HOME, "unchanged"), (a, "gone"), (b, "unchanged")}


def test_a_duplicate_that_is_set_free_while_it_is_fetched_is_fetched_again(site: Site, source: Source) -> None:
    a, b = f"{HOME}a", f"{HOME}b"
    site.pages = {HOME: html("Home", links=[a, b]), a: html("The same"), b: html("The same")}
    ingest(source)
    document = Document.objects.get(state=Document.State.DUPLICATE)
    Document.objects.filter(id=document.pk).update(state=Document.State.FETCHING, duplicate_of=None)
    outcomes.leave_unchanged(document, Document.Layer.NOT_MODIFIED)
    document.refresh_from_db()
    assert (document.state, document.unchanged_by) == (Document.State.WAITING, "")


def test_a_page_is_left_to_the_one_it_names_as_canonical(site: Site, source: Source) -> None:
    plain, printed = f"{HOME}plain", f"{HOME}print/plain"
    site.pages = {
        HOME: html("Home", links=[printed]),
        printed: html("Printed", head=f'<link rel="canonical" href="{plain}">'),
        plain: html("Plain"),
    }
    ingest(source)
    found = {row.url: row for row in Document.objects.all()}
    assert found[plain].state == Document.State.INDEXED
    assert found[printed].duplicate_of == found[plain]


def test_a_canonical_address_that_does_not_exist_costs_no_page(site: Site, source: Source) -> None:
    printed = f"{HOME}printed"
    site.pages = {
        HOME: html("Home", links=[printed]),
        printed: html("Printed", head=f'<link rel="canonical" href="{HOME}nowhere">'),
    }
    ingest(source)
    assert states(source) in ({"indexed": 2, "gone": 1}, {"indexed": 1, "duplicate": 1, "gone": 1})
    ingest(source)
    assert Document.objects.get(url=printed).chunks.live().exists()


def test_a_page_that_moved_has_its_final_address(site: Site, source: Source) -> None:
    old, new = f"{HOME}old", f"{HOME}new"
    site.moved = {old: new}
    site.pages = {HOME: html("Home", links=[old]), new: html("New")}
    ingest(source)
    assert set(Document.objects.values_list("url", flat=True)) == {HOME, new}


def test_a_page_that_asks_not_to_be_indexed_is_left_out_but_its_links_count(site: Site, source: Source) -> None:
    index, leaf = f"{HOME}index", f"{HOME}leaf"
    site.pages = {
        HOME: html("Home", links=[index]),
        index: html("Index", links=[leaf], head='<meta name="robots" content="noindex">'),
        leaf: html("Leaf"),
    }
    ingest(source)
    assert Document.objects.get(url=index).state == Document.State.GONE
    assert Document.objects.get(url=leaf).state == Document.State.INDEXED


def test_the_bound_on_pages_is_kept_and_remarked(site: Site, source: Source) -> None:
    Source.objects.update(max_pages=5)
    run = ingest(source)
    assert Document.objects.count() == 5
    assert any("max_pages" in words for words in run.remarks)


def test_the_bound_on_depth_is_kept_and_remarked(site: Site, source: Source) -> None:
    Source.objects.update(max_depth=1)
    site.pages[f"{HOME}page0"] = html("page0", links=[f"{HOME}deeper"])
    run = ingest(source)
    assert not Document.objects.filter(url=f"{HOME}deeper").exists()
    assert run.remarks == {"Pages deeper than 1 links are left out (max_depth).": f"{HOME}deeper"}


def test_a_page_with_more_links_than_are_looked_at_is_remarked(
    site: Site, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow_links, "MAX_LINKS", 19)
    assert ingest(source).remarks == {"Of a page with more than 19 links, the others are not followed.": HOME}


@pytest.mark.parametrize(("bound", "taken"), [(3, 3), (0, 10)])
def test_a_calendar_without_end_is_cut_off_and_remarked(bound: int, taken: int, site: Site, source: Source) -> None:
    Source.objects.update(max_alike=bound)
    days = [f"{HOME}calendar/2026/{n:02}" for n in range(10)]
    site.pages = {HOME: html("Home", links=days), **{day: html(day) for day in days}}
    run = ingest(source)
    assert Document.objects.count() == 1 + taken
    assert any("More than 3 pages" in words for words in run.remarks) == (bound == 3)


def test_a_scope_that_was_narrowed_lets_pages_go(site: Site, source: Source) -> None:
    site.pages = {
        HOME: html("Home", links=[f"{HOME}in/a", f"{HOME}b"]),
        f"{HOME}in/a": html("A"),
        f"{HOME}b": html("B"),
    }
    ingest(source)
    Source.objects.update(target=f"{HOME}in/")
    site.pages[f"{HOME}in/"] = html("In", links=[f"{HOME}in/a"])
    ingest(source)
    assert Document.objects.get(url=f"{HOME}b").state == Document.State.GONE
    assert Document.objects.get(url=f"{HOME}in/a").state == Document.State.UNCHANGED


def test_a_short_wait_for_the_host_is_no_attempt(site: Site, source: Source) -> None:
    site.pages = {HOME: HostBusy("one request at a time", retry_after=0.3)}
    run = start_run(source)
    Run.objects.lease_for_listing(until=timezone.now())
    list_run(run.pk)
    document = Document.objects.get()
    Document.objects.lease([document.pk], until=timezone.now())
    assert process_document.process(document.pk, 0).again_in == 0.3
    document.refresh_from_db()
    assert (document.state, document.attempts) == (Document.State.FETCHING, 0)


@pytest.mark.parametrize("error", [HostBusy("later", retry_after=120), Throttled("HTTP 429", retry_after=120)])
def test_a_long_wait_pauses_the_source_without_holding_a_worker(error: Exception, site: Site, source: Source) -> None:
    site.pages = {HOME: error}
    run = start_run(source)
    Run.objects.lease_for_listing(until=timezone.now())
    list_run(run.pk)
    Document.objects.lease([Document.objects.get().pk], until=timezone.now())
    assert process_document.process(Document.objects.get().pk, 0).again_in is None
    source.refresh_from_db()
    assert source.paused_until is not None
    assert 100 < (source.paused_until - timezone.now()).total_seconds() < 130
    assert not startable_sources().exists()


def test_a_listing_that_must_wait_is_tried_again_and_then_fails(
    site: Site, source: Source, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    def limited(spec: SourceSpec) -> Listing:
        raise FetchFailed("the list cannot be had", retry_after=60)

    monkeypatch.setattr(site, "list_documents", limited)
    run = start_run(source)
    for attempt in range(1, settings.MAX_ATTEMPTS + 1):
        Run.objects.filter(id=run.pk).update(lease_until=timezone.now())
        assert list(Run.objects.lease_for_listing(until=timezone.now()))
        list_run(run.pk)
        run.refresh_from_db()
        assert run.state == (Run.State.LISTING if attempt < settings.MAX_ATTEMPTS else Run.State.FAILED)
    assert "list cannot be had" in run.error


def test_a_listing_whose_allowance_is_spent_waits_however_often(
    site: Site, source: Source, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    def limited(spec: SourceSpec) -> Listing:
        raise Throttled("the allowance is spent", retry_after=60)

    monkeypatch.setattr(site, "list_documents", limited)
    run = start_run(source)
    for _ in range(settings.MAX_ATTEMPTS + 2):
        Run.objects.filter(id=run.pk).update(lease_until=timezone.now())
        Run.objects.lease_for_listing(until=timezone.now())
        list_run(run.pk)
    run.refresh_from_db()
    assert (run.state, run.note) == (Run.State.LISTING, "the allowance is spent")


@pytest.mark.django_db(transaction=True)
def test_while_a_long_listing_is_written_others_get_to_write(
    site: Site, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.complete = True
    site.pages = {f"{HOME}page{n}": "" for n in range(6 * list_source.ROWS_AT_ONCE)}
    monkeypatch.setattr(list_source, "ROWS_IN_ONE_GO", 2 * list_source.ROWS_AT_ONCE)
    run = start_run(source)
    Run.objects.lease_for_listing(until=timezone.now())
    gaps: list[bool] = []
    monkeypatch.setattr(time, "sleep", lambda seconds: gaps.append(connection.in_atomic_block))
    assert list_run(run.pk)
    assert gaps == [False] * 4


def test_a_listing_that_takes_too_long_is_tried_once_more_and_says_so(
    site: Site, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    def endless(spec: SourceSpec) -> Listing:
        raise SoftTimeLimitExceeded

    monkeypatch.setattr(site, "list_documents", endless)
    run = start_run(source)
    for state in (Run.State.LISTING, Run.State.FAILED):
        Run.objects.filter(id=run.pk).update(lease_until=timezone.now())
        Run.objects.lease_for_listing(until=timezone.now())
        assert not list_run(run.pk)
        run.refresh_from_db()
        assert run.state == state
        assert "raise LIST_TIME_LIMIT_SECONDS" in run.note + run.error


def test_a_listing_that_kills_its_worker_each_time_fails(
    site: Site, source: Source, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    def deadly(spec: SourceSpec) -> Listing:
        raise KeyboardInterrupt  # as far as the row can see, a worker that is no more

    monkeypatch.setattr(site, "list_documents", deadly)
    run = start_run(source)
    for _ in range(settings.MAX_ATTEMPTS):
        Run.objects.filter(id=run.pk).update(lease_until=timezone.now())
        Run.objects.lease_for_listing(until=timezone.now())
        with pytest.raises(KeyboardInterrupt):
            list_run(run.pk)
    assert not list_run(run.pk)
    run.refresh_from_db()
    assert (run.state, run.error) == (Run.State.FAILED, list_source.DIED)


def test_what_comes_in_bulk_comes_with_the_listing_and_only_if_something_changed(
    site: Site, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared: list[str] = []
    monkeypatch.setitem(BULK, "website", lambda spec: prepared.append(spec.target))
    site.complete, site.versions = True, dict.fromkeys(site.pages, "1")
    monkeypatch.setattr(list_source, "SAMPLE_SHARE", 0)
    ingest(source)
    assert prepared == [HOME]
    ingest(source)
    assert prepared == [HOME]
    site.versions[HOME] = "2"
    ingest(source)
    assert prepared == [HOME, HOME]


@pytest.mark.parametrize("complete", [False, True], ids=["links are followed", "the listing is complete"])
def test_a_run_that_is_cancelled_while_it_lists_takes_nothing_away(
    site: Site, source: Source, monkeypatch: pytest.MonkeyPatch, complete: bool
) -> None:
    ingest(source)
    site.complete = complete
    before, chunks = states(source), Chunk.objects.live().count()
    listed = site.list_documents

    def slow(spec: SourceSpec) -> Listing:
        cancel(source)
        return listed(spec)

    monkeypatch.setattr(site, "list_documents", slow)
    run = start_run(source)
    Run.objects.lease_for_listing(until=timezone.now())
    list_run(run.pk)
    finish_runs()
    assert states(source) == before
    assert Chunk.objects.live().count() == chunks
    assert not Document.objects.filter(run=run).exists()


def test_a_site_of_more_pages_than_links_are_followed_of_one_page_keeps_them_all(
    site: Site, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    ingest(source)
    monkeypatch.setattr(website, "MAX_LINKS", 5)
    monkeypatch.setattr(crawler, "is_forbidden", lambda url: False)
    monkeypatch.setattr(site, "follow", website.follow)
    ingest(source)
    assert states(source) == {"unchanged": 21}


def test_a_page_that_did_not_exist_yet_is_found_by_a_later_run(site: Site, source: Source) -> None:
    later = site.pages.pop(f"{HOME}page5")
    ingest(source)
    assert states(source) == {"indexed": 20, "gone": 1}
    site.pages[f"{HOME}page5"] = later  # and no page that links to it has changed
    ingest(source)
    assert states(source) == {"unchanged": 20, "indexed": 1}


AWAY = AddressRefused("https://login.example/ lies outside https://docs.example.org/")


@pytest.mark.parametrize(
    "instead", [AWAY, "", UnsupportedContent("it has the content type application/octet-stream")],
    ids=["a login elsewhere", "nothing", "no page"],
)  # fmt: skip
def test_a_site_that_answers_with_something_else_for_an_hour_loses_nothing(
    instead: str | Exception, site: Site, source: Source
) -> None:
    ingest(source)
    chunks, pages = Chunk.objects.live().count(), dict(site.pages)
    site.pages = dict.fromkeys(pages, instead)
    ingest(source)
    assert Chunk.objects.live().count() == chunks
    site.pages = pages
    ingest(source)
    assert states(source) == {"unchanged": 21}


def test_a_page_that_leads_away_for_good_leaves_the_index(site: Site, source: Source) -> None:
    ingest(source)
    site.pages[f"{HOME}page3"] = AWAY
    ingest(source)
    document = Document.objects.get(url=f"{HOME}page3")
    assert (document.state, document.chunks.live().exists()) == (Document.State.MISSING, True)
    assert "lies outside" in document.error
    ingest(source)
    document.refresh_from_db()
    assert (document.state, document.chunks.live().exists()) == (Document.State.GONE, False)


def test_a_site_that_forbids_everything_for_an_hour_loses_nothing(
    site: Site, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    ingest(source)
    chunks, pages = Chunk.objects.live().count(), dict(site.pages)
    with monkeypatch.context() as hour:
        hour.setattr(crawler, "is_forbidden", lambda url: True)
        hour.setattr(site, "follow", website.follow)
        site.pages = dict.fromkeys(pages, AddressRefused("robots.txt forbids it"))
        ingest(source)
    assert Chunk.objects.live().count() == chunks
    site.pages = pages
    ingest(source)
    assert states(source) == {"unchanged": 21}


def test_a_page_that_asks_to_leave_the_index_leaves_at_once(site: Site, source: Source) -> None:
    ingest(source)
    site.pages[f"{HOME}page3"] = html("page3", head='<meta name="robots" content="noindex">')
    ingest(source)
    document = Document.objects.get(url=f"{HOME}page3")
    assert (document.state, document.chunks.live().exists()) == (Document.State.GONE, False)
