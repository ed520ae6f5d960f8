from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest
from pytest_django import Settings

from ingestion.exceptions import AddressRefused, FetchFailed, PageGone, SourceError, UnsupportedContent
from ingestion.fetching import http_session, politeness
from ingestion.sources.web import url_list
from ingestion.types import CrawlPolicy, SourceSpec, Validators
from tests.support.local_site import LocalSite


@pytest.fixture
def site(settings: Settings, forgotten_hosts: None) -> Iterator[LocalSite]:
    settings.FETCH_PRIVATE_NETWORKS = ["127.0.0.1/32"]
    with LocalSite() as site:
        settings.FETCH_PORTS = [site.port]
        yield site
    http_session.session().close()


def spec_of(target: object, **options: object) -> SourceSpec:
    return SourceSpec(kind="urls", target=str(target), **options)  # type: ignore[arg-type]


def listed(spec: SourceSpec) -> list[str]:
    return [one.url for one in url_list.list_documents(spec).documents]


def listed_in(folder: Path, text: str | bytes, **options: object) -> list[str]:
    path = folder / "list.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return listed(spec_of(path, **options))


# --- Targets ------------------------------------------------------------------------------------------


def test_a_target_is_a_file_or_a_web_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "list.txt").write_text("https://h.example/")
    monkeypatch.chdir(tmp_path)
    assert url_list.normalise("list.txt") == str(tmp_path / "list.txt")
    assert url_list.normalise("HTTPS://H.example:443/llms.txt#x") == "https://h.example/llms.txt"


@pytest.mark.parametrize(("target", "message"), [("missing.txt", "check it"), (".", "is no file")])
def test_it_says_what_is_wrong_with_a_target(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SourceError, match=message):
        url_list.normalise(target)


# --- Lists --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "https://h.example/a\nhttps://h.example/b",
        "\n# Pages\n\nhttps://h.example/a\n#https://h.example/no\n  https://h.example/b  \n",
        "https://h.example/a # the first\r\nhttps://h.example/b\t#the second\r\n",
        "- https://h.example/a\n* https://h.example/b",
        "1. https://h.example/a\n2) https://h.example/b",
        "<https://h.example/a>\n<https://h.example/b>",
        "https://h.example/a\nhttps://h.example/b\nhttps://h.example/a#part\nHTTPS://H.EXAMPLE:443/b",
        "\ufeffhttps://h.example/a\nhttps://h.example/b",
        "https://h.example/a\nhttps://h.example/b".encode("utf-16"),
        "# Guide\n\n> About [it](https://h.example/a).\n\nProse, and more.\n\n- [B](https://h.example/b): all of it\n",
        '[A](<https://h.example/a> "A") and [B](https://h.example/b)\n[top](#top) [mail](mailto:a@h.example)\n',
        "- [A](https://h.example/a)\n- https://h.example/b",
    ],
)
def test_each_address_is_a_document(tmp_path: Path, text: str | bytes) -> None:
    assert listed_in(tmp_path, text) == ["https://h.example/a", "https://h.example/b"]


def test_a_list_says_that_it_has_named_everything(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("https://h.example/a")
    listing = url_list.list_documents(spec_of(tmp_path / "list.txt"))
    assert (listing.complete, listing.notes) == (True, ())


def test_addresses_with_parentheses_in_plain_lists_stay_whole(tmp_path: Path) -> None:
    assert listed_in(tmp_path, "https://h.example/a_(b)") == ["https://h.example/a_(b)"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("h.example/a", "is not a web address"),
        ("ftp://h.example/", "must start with http"),
        ("https://user:pw@h.example/", "user name or password"),
        ("https://h.example/a b", "blanks"),
        ("https://h.example/ https://h.example/b", "blanks"),
        ("some words", "blanks"),
        ("https://[::1", "is not a web address"),
        ("https://h.example/" + "x" * 3000, "longer than 2048"),
        ("grüße " + "\U0001f600" * 3000, "blanks"),
        ("https://h.example/\x01", "control characters"),
    ],
)
def test_a_bad_line_fails_alone_and_says_why(tmp_path: Path, line: str, reason: str) -> None:
    first, bad, last = listed_in(tmp_path, f"https://h.example/a\n\n{line}\nhttps://h.example/b")
    assert (first, last) == ("https://h.example/a", "https://h.example/b")
    assert bad.startswith("line:3?")
    assert bad.isascii()
    assert len(bad) <= 2048
    with pytest.raises(UnsupportedContent, match=f"Line 3 of .*list.txt is left out: .*{reason}"):
        url_list.fetch(spec_of(tmp_path / "list.txt"), bad)


def test_a_bad_link_fails_alone(tmp_path: Path) -> None:
    found = listed_in(tmp_path, "[a](https://h.example/a) [b](b.md)")
    assert found == ["https://h.example/a", "line:1?b.md"]


def test_addresses_of_links_may_hold_parentheses_and_spaces(tmp_path: Path) -> None:
    links = "[a](https://h.example/a_(b)) [c](<https://h.example/c d>) ([e](https://h.example/e))"
    assert listed_in(tmp_path, links) == ["https://h.example/a_(b)", "https://h.example/c%20d", "https://h.example/e"]


@pytest.mark.parametrize("text", ["name,text\na,b", "One line of prose."])
def test_a_file_of_another_kind_is_refused_as_a_whole(tmp_path: Path, text: str) -> None:
    with pytest.raises(SourceError, match=r"list\.txt names no address\. Line 1: .*"):
        listed_in(tmp_path, text)


def test_a_binary_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedContent, match="binary"):
        listed_in(tmp_path, b"\x89PNG\r\n\x1a\n\0")


def test_an_empty_list_lists_nothing(tmp_path: Path) -> None:
    assert listed_in(tmp_path, "\n# nothing yet\n") == []


def test_globs_choose_by_the_address_and_bad_lines_always_show(tmp_path: Path) -> None:
    text = "https://h.example/a/1\nhttps://h.example/b/2\nhttps://h.example/a/3\nbad"
    found = listed_in(tmp_path, text, include=("*/a/*",), exclude=("*3",))
    assert found == ["https://h.example/a/1", "line:4?bad"]


def test_it_stops_at_the_cap_and_says_so(tmp_path: Path) -> None:
    assert len(listed_in(tmp_path, "\n".join(f"https://h.example/{n}" for n in range(5)), max_pages=3)) == 3
    listing = url_list.list_documents(spec_of(tmp_path / "list.txt", max_pages=3))
    assert listing.notes == ("Only the first 3 of 5 addresses are taken (max_pages).",)
    assert url_list.list_documents(spec_of(tmp_path / "list.txt", max_pages=5)).notes == ()


def test_a_missing_list_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="check it"):
        listed(spec_of(tmp_path / "list.txt"))


def test_ten_thousand_brackets_are_no_trap(tmp_path: Path) -> None:
    assert listed_in(tmp_path, "](" * 200_000 + "\nhttps://h.example/")[-1] == "https://h.example/"


def test_a_list_on_the_web_names_pages_relative_to_itself(site: LocalSite) -> None:
    text = b"# Guide\n\n- [A](a.html)\n- [B](/b)\n- [C](https://h.example/c)\n- [top](#x)\n"
    target = site.page("/docs/llms.txt", text, Content_Type="text/markdown; charset=utf-8")
    assert listed(spec_of(target)) == [site.url("/docs/a.html"), site.url("/b"), "https://h.example/c"]


def test_a_plain_list_on_the_web_is_read_too(site: LocalSite) -> None:
    target = site.page("/list.txt", b"https://h.example/a\n", Content_Type="text/plain")
    assert listed(spec_of(target)) == ["https://h.example/a"]
    assert site.paths == ["/robots.txt", "/list.txt"]


def test_a_list_that_robots_txt_forbids_is_not_read(site: LocalSite) -> None:
    site.page("/robots.txt", b"User-agent: *\nDisallow: /list", Content_Type="text/plain")
    with pytest.raises(AddressRefused, match=r"robots\.txt forbids"):
        listed(spec_of(site.page("/list.txt", b"https://h.example/", Content_Type="text/plain")))


def test_a_web_page_is_no_list(site: LocalSite) -> None:
    with pytest.raises(UnsupportedContent, match="content type text/html"):
        listed(spec_of(site.page("/", b"<p>x")))


# --- Pages --------------------------------------------------------------------------------------------


def test_a_page_is_fetched_unless_it_is_the_known_version(site: LocalSite) -> None:
    def answer(handler: object) -> None:
        known = handler.headers.get("If-None-Match") == '"1"'  # type: ignore[attr-defined]
        handler.reply(304) if known else handler.reply(body=b"<p>hello", ETag='"1"')  # type: ignore[attr-defined]

    url, spec = site.answer("/a", answer), spec_of("list.txt")
    page = url_list.fetch(spec, url)
    assert page is not None
    assert (page.body, page.etag) == (b"<p>hello", '"1"')
    assert url_list.fetch(spec, url, Validators(etag='"1"')) is None


@pytest.mark.parametrize(
    ("body", "content_type"),
    [(b"%PDF-1.7\n\0", "application/pdf"), (b"{}", "application/x-ipynb+json"), (b"<p>x", "application/xhtml+xml")],
)
def test_every_format_that_can_be_read_may_be_listed(site: LocalSite, body: bytes, content_type: str) -> None:
    page = url_list.fetch(spec_of("list.txt"), site.page("/a", body, Content_Type=content_type))
    assert page is not None
    assert (page.body, page.content_type) == (body, content_type)


def test_a_picture_may_not_be_listed(site: LocalSite) -> None:
    with pytest.raises(UnsupportedContent):
        url_list.fetch(spec_of("list.txt"), site.page("/a", b"\x89PNG", Content_Type="image/png"))


def test_a_page_that_robots_txt_forbids_is_not_fetched(site: LocalSite) -> None:
    site.page("/robots.txt", b"User-agent: *\nDisallow: /closed/", Content_Type="text/plain")
    site.page("/open", status=302, Location="/closed/b")
    for url in (site.page("/closed/a", b"<p>x"), site.url("/open")):
        with pytest.raises(AddressRefused, match=r"robots\.txt forbids"):
            url_list.fetch(spec_of("list.txt"), url)
    assert site.paths == ["/robots.txt", "/open"]


def test_a_redirect_within_the_host_is_followed(site: LocalSite) -> None:
    site.page("/new/b", b"<p>hello")
    page = url_list.fetch(spec_of("list.txt"), site.page("/old", status=301, Location="/new/b"))
    assert page is not None
    assert (page.url, page.body) == (site.url("/new/b"), b"<p>hello")


def test_a_redirect_to_another_host_names_what_to_list_instead(site: LocalSite) -> None:
    url = site.page("/old", status=301, Location=site.url("/new", host="localhost"))
    with pytest.raises(AddressRefused, match=r"/old redirects to another host; list http://localhost.*/new instead"):
        url_list.fetch(spec_of("list.txt"), url)
    assert site.paths == ["/robots.txt", "/old"]


def test_a_missing_page_is_gone_and_a_broken_site_is_tried_later(site: LocalSite) -> None:
    with pytest.raises(PageGone):
        url_list.fetch(spec_of("list.txt"), site.url("/missing"))
    with pytest.raises(FetchFailed):
        url_list.fetch(spec_of("list.txt"), site.page("/broken", status=500))


def test_every_request_waits_for_its_turn(site: LocalSite, monkeypatch: pytest.MonkeyPatch) -> None:
    slots: list[tuple[str, CrawlPolicy, str]] = []

    @contextmanager
    def slot(url: str, policy: CrawlPolicy = CrawlPolicy(), *, token: str = "") -> Iterator[None]:
        slots.append((url, policy, token))
        yield

    monkeypatch.setattr(politeness, "slot", slot)
    policy = CrawlPolicy(delay_seconds=7)
    site.page("/b", b"<p>x")
    old = site.page("/a", status=302, Location="/b")
    url_list.fetch(spec_of("list.txt", crawl_policy=policy), old)
    assert [given for given in slots if "robots" not in given[0]] == [
        (old, policy, old),
        (site.url("/b"), policy, old),
    ]
    target = site.page("/list.txt", b"https://h.example/", Content_Type="text/plain")
    listed(spec_of(target, crawl_policy=policy))
    assert slots[-1] == (target, policy, target)


def test_the_pages_lead_to_nothing_by_their_links() -> None:
    assert url_list.follow(spec_of("list.txt"), "https://h.example/", ["https://h.example/a"]) == []


def test_an_address_that_looks_like_a_bad_line_is_never_requested() -> None:
    with pytest.raises(UnsupportedContent):
        url_list.fetch(spec_of("list.txt"), f"line:1?{quote('https://h.example/')}")
