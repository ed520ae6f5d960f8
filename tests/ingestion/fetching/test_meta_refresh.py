"""Pages that only send their readers on: told from pages that are to be read, and followed like any redirect."""

from __future__ import annotations

import time

import pytest

from ingestion.exceptions import AddressRefused, PageRefused
from ingestion.fetching import fetcher
from ingestion.fetching.meta_refresh import target
from ingestion.types import Page, Validators
from tests.support.local_site import LocalSite

HERE = "https://docs.example/old/page.html"
NEW = "https://docs.example/old/new.html"
LONG = "<p>" + "Words to read. " * 50


def sent_to(html: str, url: str = HERE) -> str:
    return target(Page(url, html.encode(), "text/html"))


@pytest.mark.parametrize(
    "element",
    [
        '<meta http-equiv="refresh" content="0; url=new.html">',
        "<META HTTP-EQUIV=Refresh CONTENT='0;URL=new.html'>",
        "<meta http-equiv=refresh content=0;url=new.html>",
        '<meta http-equiv="refresh" content="0; url=&quot;new.html&quot;">',
        """<meta http-equiv='refresh' content="0; url='new.html'">""",
        '<meta http-equiv="refresh" content="0;new.html">',
        '<meta http-equiv="refresh" content="0, new.html">',
        '<meta http-equiv="refresh" content="0 new.html">',
        '<meta http-equiv="refresh" content=" 0.5 ; url = new.html ">',
        '<meta http-equiv="refresh" content="; url=new.html">',
        '<meta content="0; url=new.html" http-equiv="refresh" />',
        '<meta http-equiv="refresh" content="0; url=&#47;old&#x2f;new.html">',
        '<meta http-equiv="refresh" content="0; url=new.html#part">',
        '<base href="/old/"><meta http-equiv="refresh" content="0; url=new.html">',
        '<noscript><meta http-equiv="refresh" content="1; url=new.html"></noscript><script>location = "x"</script>',
        '<meta http-equiv="refresh" content="5; url=new.html">',
    ],
)
def test_a_stub_is_followed_however_it_is_written(element: str) -> None:
    assert sent_to(f"<html><head><title>Moved</title>{element}</head><body>Moved <a href=new.html>here</a>.") == NEW


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ('window.location.replace("new.html");', NEW),
        ("location.href = 'new.html' + location.hash", NEW),
        ("window.location = '/old/new.html';", NEW),
        ('top.location.assign( "new.html" )', NEW),
        ('window.location.replace("other.html");', ""),  # no link leads there: perhaps to a language or a login
        ("location = base + 'new.html';", ""),
        ("if (location.hash) go();", ""),
    ],
)
def test_a_script_that_goes_where_the_few_words_link_to_is_followed(script: str, expected: str) -> None:
    stub = f"<html><head><title>Redirecting</title><script>{script}</script></head><body>Redirecting to "
    assert sent_to(f"{stub}<a href=new.html>new.html</a>...") == expected
    assert sent_to(f"{stub}{LONG}<a href=new.html>new.html</a>...") == ""


def test_blanks_in_its_address_are_escaped() -> None:
    assert sent_to('<meta http-equiv=refresh content="0;url=the new.html">').endswith("/old/the%20new.html")


def test_a_stub_without_a_body_is_one() -> None:
    assert sent_to("<meta http-equiv=refresh content='0;url=new.html'>") == NEW


@pytest.mark.parametrize(
    "element",
    [
        "",
        '<meta http-equiv="refresh" content="30">',
        '<meta http-equiv="refresh" content="0; url=page.html#top">',
        '<meta http-equiv="refresh" content="0; url=">',
        '<meta http-equiv="refresh" content="0; url=javascript:go()">',
        '<meta http-equiv="refresh" content="0; url=http://[bad">',
        '<meta http-equiv="refresh" content="600; url=new.html">',
        '<!-- <meta http-equiv="refresh" content="0; url=new.html"> -->',
        '<meta name="refresh" content="0; url=new.html">',
        '<script>document.write(\'<meta http-equiv="refresh" content="0; url=new.html">\')</script>',
    ],
)
def test_other_pages_are_read(element: str) -> None:
    assert sent_to(f"<html><head>{element}</head><body><p>Words.") == ""


@pytest.mark.parametrize(
    ("element", "expected"),
    [
        ('<meta http-equiv="refresh" content="0; url=new.html">', NEW),
        ('<meta http-equiv="refresh" content="10; url=new.html">', ""),
        ('<noscript><meta http-equiv="refresh" content="0; url=new.html"></noscript>', ""),
    ],
)
def test_words_count_where_somebody_has_the_time_to_read_them(element: str, expected: str) -> None:
    assert sent_to(f"<html><head>{element}</head><body>{LONG}") == expected


def test_of_a_file_the_address_is_a_file() -> None:
    stub = "<meta http-equiv=refresh content='0;url=../b.html'>"
    assert sent_to(stub, "file:///docs/a/index.html") == "file:///docs/b.html"


@pytest.mark.parametrize(
    "page",
    [
        "<meta http-equiv=refresh content='9'>" + "<b>" * 20_000 + "</i>" * 500_000,
        f"<meta http-equiv=refresh content='{'9' * 60_000}'>",
        f"<meta http-equiv=refresh content='{' ' * 60_000}'>",
        "<meta http-equiv=refresh content='99'>" * 1500,
        "<script>" + "location = 'a'; " * 3000 + "</script>",
        "http-equiv=" + "refresh " * 1_000_000,
    ],
    ids=lambda page: page[:60],
)
def test_a_hostile_page_takes_no_time(page: str) -> None:
    start = time.process_time()
    assert sent_to(page) == ""
    assert time.process_time() - start < 1


@pytest.mark.usefixtures("loopback_allowed")
def test_the_fetcher_follows_a_stub_and_checks_where_it_leads(site: LocalSite) -> None:
    site.page("/old", b"<meta http-equiv=refresh content='0;url=/new'>", ETag='"old"')
    site.page("/new", b"<p>Words</p>", ETag='"new"')
    seen: list[str] = []
    page = fetcher.fetch_if_changed(site.url("/old"), known=Validators(), check_url=seen.append)
    assert page is not None
    assert (page.url, page.body, page.etag) == (site.url("/new"), b"<p>Words</p>", "")
    assert seen == [site.url("/old"), site.url("/new")]


@pytest.mark.usefixtures("loopback_allowed")
def test_stubs_that_lead_to_each_other_end(site: LocalSite) -> None:
    site.page("/a", b"<meta http-equiv=refresh content='0;url=/b'>")
    site.page("/b", b"<meta http-equiv=refresh content='0;url=/a'>")
    with pytest.raises(PageRefused, match="redirects more than"):
        fetcher.fetch(site.url("/a"))


@pytest.mark.usefixtures("loopback_allowed")
def test_a_stub_that_leads_to_a_forbidden_address_is_refused(site: LocalSite) -> None:
    site.page("/a", b"<meta http-equiv=refresh content='0;url=http://169.254.169.254/'>")
    with pytest.raises(AddressRefused):
        fetcher.fetch(site.url("/a"))
