"""Websites: what is listed, which links are followed, and what a visit may reach. Every site is a real one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from itertools import count

import pytest

from ingestion.exceptions import AddressRefused, FetchFailed, HostBusy, PageRefused, UnsupportedContent
from ingestion.fetching import politeness
from ingestion.sources.web import website
from ingestion.sources.web.url_scope import template
from ingestion.types import CrawlPolicy, Listed, Listing, SourceSpec, Validators
from tests.support.local_site import Handler, LocalSite

pytestmark = pytest.mark.usefixtures("forgotten_hosts")

PAGES = [f"/docs/{name}" for name in ("a", "b", "c", "d", "e", "f")]


def spec_of(target: str, **options: object) -> SourceSpec:
    quick = {"crawl_policy": CrawlPolicy(delay_seconds=0.0, connections=0), "max_pages": 5000}
    return SourceSpec(kind="website", target=target, **{**quick, **options})  # type: ignore[arg-type]


def sitemap(site: LocalSite, path: str, pages: list[str], lastmod: str = "") -> str:
    dated = f"<lastmod>{lastmod}</lastmod>" if lastmod else ""
    urls = "".join(f"<url><loc>{site.url(page)}</loc>{dated}</url>" for page in pages)
    return site.page(path, f"<urlset>{urls}</urlset>".encode(), Content_Type="application/xml")


def first_page(site: LocalSite, links: list[str], path: str = "/docs/", head: str = "") -> str:
    anchors = "".join(f'<a href="{link}">x</a>' for link in links)
    return site.page(path, f"<html><head>{head}</head><body>{anchors}</body></html>".encode())


def paths(listing: Listing, site: LocalSite) -> list[str]:
    return [document.url.removeprefix(site.url("")) for document in listing.documents]


# --- Listing ------------------------------------------------------------------------------------------


def test_a_website_is_written_in_one_way() -> None:
    assert (
        website.normalise("HTTPS://Docs.Example.com:443/en/5.2?utm_source=x#top") == "https://docs.example.com/en/5.2"
    )
    with pytest.raises(AddressRefused):
        website.normalise("https://user:pw@docs.example.com/")


def test_without_a_sitemap_only_the_first_page_is_known(site: LocalSite) -> None:
    listing = website.list_documents(spec_of(site.url("/docs/")))
    assert listing == Listing([Listed(site.url("/docs/"))])
    assert site.paths == ["/robots.txt", "/docs/sitemap.xml", "/sitemap.xml"]


@pytest.mark.parametrize("place", ["/docs/sitemap.xml", "/sitemap.xml", "/maps/docs.xml"])
def test_a_sitemap_that_names_what_the_first_page_links_to_is_the_list(site: LocalSite, place: str) -> None:
    url = sitemap(site, place, [*PAGES, "/docs/hidden", "/blog/z"], lastmod="2020-01-01")
    if place.startswith("/maps"):
        site.page("/robots.txt", f"Sitemap: {url}".encode(), Content_Type="text/plain")
    first_page(site, [*PAGES, "/blog/z", "http://other.example/", "#top"])
    listing = website.list_documents(spec_of(site.url("/docs/")))
    assert paths(listing, site) == ["/docs/", *PAGES, "/docs/hidden"]
    assert (listing.complete, listing.notes) == (True, ())
    assert {document.version for document in listing.documents} == {"", "2020-01-01"}


def test_the_first_page_keeps_its_version_and_its_place(site: LocalSite) -> None:
    sitemap(site, "/sitemap.xml", [*PAGES, "/docs/"], lastmod="2020-01-01")
    first_page(site, PAGES)
    first, *_ = website.list_documents(spec_of(site.url("/docs/"))).documents
    assert first == Listed(site.url("/docs/"), "2020-01-01")


def test_slashes_and_index_files_do_not_make_a_sitemap_incomplete(site: LocalSite) -> None:
    sitemap(site, "/sitemap.xml", [f"{page}/" for page in PAGES])
    first_page(site, [PAGES[0], f"{PAGES[1]}/index.html", *PAGES[2:], "/docs/index.html"])
    assert website.list_documents(spec_of(site.url("/docs/"))).complete


def test_one_link_in_ten_may_be_missing_from_the_sitemap(site: LocalSite) -> None:
    pages = [f"/docs/{n}" for n in range(20)]
    sitemap(site, "/sitemap.xml", pages[:18])
    first_page(site, pages)
    assert website.list_documents(spec_of(site.url("/docs/"))).complete
    sitemap(site, "/sitemap.xml", pages[:17])
    assert not website.list_documents(spec_of(site.url("/docs/"))).complete


def test_a_sitemap_that_lacks_pages_is_a_start_beside_the_first_page(site: LocalSite) -> None:
    sitemap(site, "/sitemap.xml", [*PAGES[:5], "/docs/old"])
    first_page(site, [*PAGES, "/docs/g"])
    listing = website.list_documents(spec_of(site.url("/docs/")))
    assert paths(listing, site) == ["/docs/", *PAGES[:5], "/docs/old"]
    assert not listing.complete
    assert listing.notes == (
        f"The sitemap lacks 2 of 7 pages that the first page links to, for example {site.url('/docs/f')}, so links "
        "are followed as well.",
    )


def test_a_sitemap_of_a_few_pages_is_no_list(site: LocalSite) -> None:
    sitemap(site, "/sitemap.xml", PAGES[:4])
    first_page(site, PAGES[:4])
    listing = website.list_documents(spec_of(site.url("/docs/")))
    assert (paths(listing, site), listing.complete) == (["/docs/", *PAGES[:4]], False)
    assert "/docs/" not in site.paths


def test_the_sitemap_below_the_source_is_asked_when_that_of_the_site_names_versions_only(site: LocalSite) -> None:
    named = sitemap(site, "/sitemap.xml", ["/docs/", "/fr/"])
    site.page("/robots.txt", f"Sitemap: {named}".encode(), Content_Type="text/plain")
    sitemap(site, "/docs/sitemap.xml", PAGES)
    first_page(site, PAGES)
    listing = website.list_documents(spec_of(site.url("/docs/")))
    assert (paths(listing, site), listing.complete) == (["/docs/", *PAGES], True)


def test_translations_and_links_not_to_be_followed_do_not_count(site: LocalSite) -> None:
    sitemap(site, "/sitemap.xml", PAGES)
    links = "".join(f'<a href="{page}">x</a>' for page in [*PAGES, "de/", "fr/"])
    nofollow = '<a rel="noopener nofollow" href="/docs/login">x</a><a name="here">x</a><a href="http://[">x</a>'
    head = '<link rel="alternate" hreflang="de" href="/docs/de/"><link rel="alternate" hreflang="fr" href="fr/">'
    site.page("/docs/", f"{head}{links}{nofollow}".encode())
    assert website.list_documents(spec_of(site.url("/docs/"))).complete


def test_links_are_read_relative_to_the_base_that_the_first_page_names(site: LocalSite) -> None:
    sitemap(site, "/sitemap.xml", [f"/docs/en/{name}" for name in "abcde"])
    first_page(site, ["a", "b", "./c"], head='<base href="/docs/en/">')
    assert website.list_documents(spec_of(site.url("/docs/"))).complete


@pytest.mark.parametrize(
    "answer",
    [
        {"status": 500},
        {"status": 404},
        {"body": b""},
        {"body": b"<p>No links"},
        {"body": b"\x00\x01", "Content_Type": "application/pdf"},
        {"body": b"/docs/a", "Content_Type": "text/plain"},
        {"status": 302, "Location": "/elsewhere/"},
    ],
    ids=str,
)
def test_a_first_page_without_readable_links_proves_nothing(site: LocalSite, answer: dict[str, object]) -> None:
    sitemap(site, "/sitemap.xml", PAGES)
    site.page("/docs/", **answer)  # type: ignore[arg-type]
    listing = website.list_documents(spec_of(site.url("/docs/")))
    assert (paths(listing, site), listing.complete) == (["/docs/", *PAGES], False)


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ({"status": 404}, False),
        ({"status": 403}, False),
        ({"body": b"<!doctype html><title>Not found"}, False),
        ({"body": b"<!DOCTYPE u [<!ENTITY a 'b'>]><urlset/>"}, False),
        ({"status": 500}, True),
        ({"body": b"<urlset><url><loc>/docs/a</loc></url><ur"}, True),
    ],
    ids=str,
)
def test_trouble_with_a_guessed_sitemap_never_fails_the_site(
    site: LocalSite, answer: dict[str, object], told: bool
) -> None:
    site.page("/sitemap.xml", **answer)  # type: ignore[arg-type]
    listing = website.list_documents(spec_of(site.url("/docs/")))
    assert paths(listing, site)[0] == "/docs/"
    assert not listing.complete
    assert bool(listing.notes) is told


def test_trouble_with_a_sitemap_that_robots_txt_names_is_told(site: LocalSite) -> None:
    site.page("/robots.txt", f"Sitemap: {site.url('/gone.xml')}".encode(), Content_Type="text/plain")
    listing = website.list_documents(spec_of(site.url("/docs/")))
    assert listing.notes == (f"Sitemap: {site.url('/gone.xml')} does not exist (HTTP 404).",)


def test_a_site_whose_robots_txt_cannot_be_had_still_has_its_first_page(site: LocalSite) -> None:
    site.page("/robots.txt", status=503)
    listing = website.list_documents(spec_of(site.url("/docs/")))
    assert (paths(listing, site), listing.complete) == (["/docs/"], False)
    assert listing.notes


def test_a_sitemap_read_in_part_covers_but_is_not_complete(site: LocalSite) -> None:
    site.page(
        "/sitemap.xml",
        b"<sitemapindex><sitemap><loc>/1.xml</loc></sitemap><sitemap><loc>/2.xml</loc></sitemap></sitemapindex>",
    )
    sitemap(site, "/1.xml", PAGES)
    site.page("/2.xml", status=500)
    first_page(site, PAGES)
    listing = website.list_documents(spec_of(site.url("/docs/")))
    assert (paths(listing, site), listing.complete) == (["/docs/", *PAGES], False)


def test_the_bound_on_pages_counts_the_first_page(site: LocalSite) -> None:
    sitemap(site, "/sitemap.xml", PAGES)
    first_page(site, PAGES)
    whole = website.list_documents(spec_of(site.url("/docs/"), max_pages=7))
    assert (len(list(whole.documents)), whole.complete) == (7, True)
    part = website.list_documents(spec_of(site.url("/docs/"), max_pages=6))
    assert (paths(part, site), part.complete) == (["/docs/", *PAGES[:5]], False)
    assert part.notes == ("The source's bound of 6 pages is reached (max_pages).",)


def test_globs_choose_among_the_pages_of_a_sitemap(site: LocalSite) -> None:
    sitemap(site, "/sitemap.xml", [*PAGES, *(f"/docs/api/{n}" for n in range(6))])
    first_page(site, [*PAGES, "/docs/api/0"])
    listing = website.list_documents(spec_of(site.url("/docs/"), include=("api/*",)))
    assert paths(listing, site) == ["/docs/", *(f"/docs/api/{n}" for n in range(6))]
    assert listing.complete


def test_http_and_https_in_a_sitemap_are_one_page(site: LocalSite) -> None:
    other = site.url("/docs/a").replace("http:", "https:")
    site.page("/sitemap.xml", f"{other}\n{site.url('/docs/a')}".encode(), Content_Type="text/plain")
    assert paths(website.list_documents(spec_of(site.url("/docs/"))), site) == ["/docs/", "/docs/a"]


def test_a_host_that_is_busy_from_the_start_is_listed_another_time(site: LocalSite) -> None:
    site.page("/robots.txt", b"User-agent: *\nCrawl-delay: 60", Content_Type="text/plain")
    with pytest.raises(HostBusy):
        website.list_documents(spec_of(site.url("/docs/")))
    assert site.paths == ["/robots.txt"]


# --- Links --------------------------------------------------------------------------------------------


def test_it_follows_each_address_once_and_not_back_to_the_page(site: LocalSite) -> None:
    links = ["/b#one", "/b#two", "/a#self", "/c", "/b", "/c?utm_source=x", "/c;jsessionid=12", "/logo.png"]
    found = website.follow(spec_of(site.url("/")), site.url("/a"), [site.url(link) for link in links])
    assert found == [site.url("/b"), site.url("/c")]


def test_it_looks_at_a_bounded_number_of_links(site: LocalSite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(website, "MAX_LINKS", 3)
    links = [site.url(f"/{n}") for n in range(9)]
    assert website.follow(spec_of(site.url("/")), site.url("/a"), links) == links[:3]


def test_it_does_not_follow_what_robots_txt_forbids(site: LocalSite) -> None:
    site.page("/robots.txt", b"User-agent: *\nDisallow: /search", Content_Type="text/plain")
    links = [site.url("/search?q=a"), site.url("/guide")]
    assert website.follow(spec_of(site.url("/")), site.url("/"), links) == [site.url("/guide")]


def test_it_follows_links_while_robots_txt_cannot_be_had(site: LocalSite) -> None:
    site.page("/robots.txt", status=503)
    links = [site.url("/a"), site.url("/b")]
    assert website.follow(spec_of(site.url("/")), site.url("/"), links) == links


def crawl(
    spec: SourceSpec, links_of: Callable[[str], list[str]], *, per_template: int = 50, depth: int = 8
) -> set[str]:
    """The pages that a crawl with the pipeline's budgets meets; fails when it would not end."""
    found = {spec.target}
    taken: Counter[str] = Counter()
    level = [spec.target]
    for _ in range(depth):
        level = [link for page in level for link in website.follow(spec, page, links_of(page)) if link not in found]
        fresh = []
        for url in dict.fromkeys(level):
            taken[template(url)] += 1
            if not template(url) or taken[template(url)] <= per_template:
                fresh.append(url)
        found |= set(fresh)
        level = fresh
        assert len(found) < 2000, "a trap holds the crawler"
    return found


def test_a_calendar_without_end_ends(site: LocalSite) -> None:
    def links(url: str) -> list[str]:
        day = int(url.rpartition("/")[2] or 0) if "/cal/" in url else 20240101
        return [site.url(f"/cal/{day + n}") for n in (1, 2, 3)] + [site.url("/guide")]

    found = crawl(spec_of(site.url("/")), links)
    assert site.url("/guide") in found
    assert len(found) <= 52


def test_combined_filters_end(site: LocalSite) -> None:
    filters = [f"{name}={value}" for name in ("colour", "size", "brand", "kind", "price", "sort") for value in "abcdef"]

    def links(url: str) -> list[str]:
        chosen = [piece for piece in url.partition("?")[2].split("&") if piece]
        return [site.url("/shop?" + "&".join([*chosen, more])) for more in filters if more not in chosen]

    found = crawl(spec_of(site.url("/")), links, per_template=10, depth=6)
    assert max(url.count("=") for url in found) <= 4


def test_a_new_session_on_every_page_is_no_new_page(site: LocalSite) -> None:
    fresh = count(10**15)

    def links(url: str) -> list[str]:
        number = next(fresh)
        return [
            site.url(f"/a?PHPSESSID={number}"),
            site.url(f"/b;jsessionid={number}"),
            site.url(f"/(S(x{number}00000000))/c"),
            site.url(f"/d?sid={number}&p=1"),
        ]

    assert crawl(spec_of(site.url("/")), links) == {site.url(path) for path in ("/", "/a", "/b", "/c", "/d?p=1")}


def test_a_relative_link_gone_wrong_ends(site: LocalSite) -> None:
    def links(url: str) -> list[str]:
        return [f"{url.rstrip('/')}/guide/", f"{url.rstrip('/')}/api/guide/"]

    found = crawl(spec_of(site.url("/")), links, depth=30)
    assert len(found) < 200


# --- Visits -------------------------------------------------------------------------------------------


def test_it_fetches_what_robots_txt_allows(site: LocalSite) -> None:
    site.page("/robots.txt", b"User-agent: *\nDisallow: /closed/", Content_Type="text/plain")
    url = site.page("/open", b"<p>hello")
    site.page("/closed/a", b"<p>secret")
    spec = spec_of(site.url("/"))
    page = website.fetch(spec, url)
    assert page is not None
    assert page.body == b"<p>hello"
    with pytest.raises(AddressRefused, match=r"robots.txt forbids"):
        website.fetch(spec, site.url("/closed/a"))
    assert site.paths == ["/robots.txt", "/open"]


def test_it_fetches_a_file_where_a_glob_names_its_suffix(site: LocalSite) -> None:
    site.page("/robots.txt", b"", Content_Type="text/plain")
    url = site.page("/manual.pdf", b"%PDF-1.7\n\0", Content_Type="application/pdf")
    with pytest.raises(UnsupportedContent, match="application/pdf"):
        website.fetch(spec_of(site.url("/")), url)
    page = website.fetch(spec_of(site.url("/"), include=("*", "*.pdf")), url)
    assert page is not None
    assert page.content_type == "application/pdf"


def test_a_page_that_is_unchanged_is_not_sent_again(site: LocalSite) -> None:
    def answer(handler: Handler) -> None:
        known = handler.headers["If-None-Match"] == '"v1"'
        handler.reply(304 if known else 200, b"" if known else b"<p>hello", ETag='"v1"')

    url = site.answer("/a", answer)
    page = website.fetch(spec_of(site.url("/")), url)
    assert page is not None
    assert page.etag == '"v1"'
    assert website.fetch(spec_of(site.url("/")), url, Validators(etag=page.etag)) is None


def test_the_final_address_of_a_page_is_spelled_like_the_source(site: LocalSite) -> None:
    site.page("/old", status=301, Location="/new;jsessionid=12?utm_source=old&v=2")
    site.page("/new;jsessionid=12?utm_source=old&v=2", b"<p>hello")
    page = website.fetch(spec_of(site.url("/")), site.url("/old"))
    assert page is not None
    assert page.url == site.url("/new?v=2")


def test_a_redirect_is_held_to_robots_txt(site: LocalSite) -> None:
    site.page("/robots.txt", b"User-agent: *\nDisallow: /closed/", Content_Type="text/plain")
    site.page("/open", status=302, Location="/closed/a")
    site.page("/closed/a", b"<p>secret")
    with pytest.raises(AddressRefused, match=r"robots.txt forbids"):
        website.fetch(spec_of(site.url("/")), site.url("/open"))
    assert "/closed/a" not in site.paths


def test_a_redirect_out_of_the_scope_says_where_it_leads(site: LocalSite) -> None:
    site.page("/docs/", status=301, Location="/manual/")
    with pytest.raises(AddressRefused, match=r"/manual/ lies outside .*/docs/; .* make it the target"):
        website.fetch(spec_of(site.url("/docs/")), site.url("/docs/"))
    assert "/manual/" not in site.paths


def test_redirects_that_go_round_end(site: LocalSite) -> None:
    site.page("/a", status=302, Location="/b")
    site.page("/b", status=302, Location="/a")
    with pytest.raises(PageRefused, match="redirects more than"):
        website.fetch(spec_of(site.url("/")), site.url("/a"))


def test_it_fetches_nothing_outside_the_scope(site: LocalSite) -> None:
    site.page("/other", b"<p>x")
    with pytest.raises(AddressRefused, match="lies outside"):
        website.fetch(spec_of(site.url("/docs/")), site.url("/other"))
    assert site.seen == []


def test_a_site_in_trouble_is_asked_later(site: LocalSite) -> None:
    site.page("/robots.txt", status=503, Retry_After="120")
    site.page("/a", b"<p>x")
    with pytest.raises(FetchFailed):
        website.fetch(spec_of(site.url("/")), site.url("/a"))
    assert site.paths == ["/robots.txt"]


def test_every_request_of_a_visit_takes_a_turn_in_the_name_of_the_page(
    site: LocalSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    slots: list[tuple[str, CrawlPolicy, str]] = []

    def slot(url: str, policy: CrawlPolicy = CrawlPolicy(), *, token: str = "") -> nullcontext[None]:
        slots.append((url, policy, token))
        return nullcontext()

    monkeypatch.setattr(politeness, "slot", slot)
    site.page("/old", status=301, Location="/new")
    site.page("/new", b"<p>hello")
    policy = CrawlPolicy(delay_seconds=3.0, connections=1)
    website.fetch(spec_of(site.url("/"), crawl_policy=policy), site.url("/old"))
    assert slots[1:] == [(site.url(path), policy, site.url("/old")) for path in ("/old", "/new")]


def test_a_first_page_that_only_sends_its_readers_on_is_read_where_it_leads(site: LocalSite) -> None:
    site.page("/docs/", b"<html><head><meta http-equiv=refresh content='0;url=latest/'></head></html>")
    first_page(site, PAGES, "/docs/latest/")
    sitemap(site, "/docs/sitemap.xml", PAGES)
    spec = spec_of(site.url("/docs/"))
    assert website.list_documents(spec).complete
    page = website.fetch(spec, site.url("/docs/"))
    assert page is not None
    assert page.url == site.url("/docs/latest/")
