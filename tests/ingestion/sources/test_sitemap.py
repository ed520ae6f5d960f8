"""Sitemaps: one file after the other from disk, then whole sets of them from a real site."""

from __future__ import annotations

import gzip
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ingestion.exceptions import AddressRefused, FetchFailed, HostBusy, PageGone, PageRefused, UnsupportedContent
from ingestion.fetching import politeness
from ingestion.sources.web import crawler, sitemap, sitemap_parser
from ingestion.sources.web.sitemap_parser import FEED, PAGES, SITEMAPS, Entry
from ingestion.types import CrawlPolicy, Listed, Listing, SourceSpec
from tests.support.local_site import LocalSite

pytestmark = pytest.mark.usefixtures("forgotten_hosts")

NAMESPACE = 'xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"'
XML = '<?xml version="1.0" encoding="UTF-8"?>'


def urlset(*addresses: str, lastmod: str = "") -> str:
    dated = f"<lastmod>{lastmod}</lastmod>" if lastmod else ""
    urls = "".join(f"<url><loc>{address}</loc>{dated}</url>\n" for address in addresses)
    return f"{XML}\n<urlset {NAMESPACE}>{urls}</urlset>"


def read(folder: Path, text: str | bytes) -> list[Entry]:
    path = folder / "sitemap"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return list(sitemap_parser.read(path, "https://h.example/sitemap.xml"))


def read_until_refused(folder: Path, text: str | bytes) -> tuple[list[Entry], str]:
    path = folder / "sitemap"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    found: list[Entry] = []
    with pytest.raises(UnsupportedContent) as refused:
        for entry in sitemap_parser.read(path, "https://h.example/sitemap.xml"):
            found.append(entry)  # noqa: PERF402  what came before the error counts
    return found, str(refused.value)


def page(address: str, version: str = "") -> Entry:
    return Entry(PAGES, address, version)


# --- One file -----------------------------------------------------------------------------------------

# What sitemaps in the wild look like; Scrapy's own tests know most of these.
KINDS_OF_FILES = {
    "pages with dates": (
        urlset("http://h/", "http://h/Special-Offers.html", lastmod="2009-08-16"),
        [page("http://h/", "2009-08-16"), page("http://h/Special-Offers.html", "2009-08-16")],
    ),
    "index": (
        f"""{XML}<sitemapindex {NAMESPACE}>
        <sitemap><loc>http://h/1.xml.gz</loc><lastmod>2004-10-01T18:23:17+00:00</lastmod></sitemap>
        <sitemap><loc>http://h/2.xml.gz</loc></sitemap></sitemapindex>""",
        [Entry(SITEMAPS, "http://h/1.xml.gz", "2004-10-01T18:23:17+00:00"), Entry(SITEMAPS, "http://h/2.xml.gz")],
    ),
    "blanks and an empty date": (
        f"{XML}<urlset><url><loc>\n  http://h/2 </loc><lastmod /></url></urlset>",
        [page("http://h/2")],
    ),
    "wrong namespace": (
        f'{XML}<urlset {NAMESPACE}><url xmlns=""><loc>http://h/</loc></url></urlset>',
        [page("http://h/")],
    ),
    "no namespace": ("<urlset><url><loc>http://h/</loc></url></urlset>", [page("http://h/")]),
    "prefixes": (
        '<s:urlset xmlns:s="x"><s:url><s:loc>http://h/</s:loc></s:url></s:urlset>',
        [page("http://h/")],
    ),
    "undeclared prefix": (
        '<urlset><url><loc>http://h/</loc><xhtml:link rel="alternate" href="http://h/de/"/></url></urlset>',
        [page("http://h/")],
    ),
    "capitals": ("<URLSET><URL><LOC>http://h/</LOC></URL></URLSET>", [page("http://h/")]),
    "blank lines before the declaration": (f"\n \n{urlset('http://h/')}", [page("http://h/")]),
    "byte order mark": (b"\xef\xbb\xbf" + urlset("http://h/").encode(), [page("http://h/")]),
    "byte order mark and blank lines": (b"\xef\xbb\xbf\n\n" + urlset("http://h/").encode(), [page("http://h/")]),
    "UTF-16": (urlset("http://h/ü").replace("UTF-8", "UTF-16").encode("utf-16"), [page("http://h/ü")]),
    "Latin-1": (urlset("http://h/ü").replace("UTF-8", "ISO-8859-1").encode("latin-1"), [page("http://h/ü")]),
    "declared as UTF-16, which it is not": (urlset("http://h/").replace("UTF-8", "UTF-16"), [page("http://h/")]),
    "declared as what nobody knows": (
        urlset("http://h/ü").replace("UTF-8", "ISO-8859-12"),
        [page("http://h/ü")],
    ),
    "declared as nonsense": (urlset("http://h/").replace("UTF-8", "base64"), [page("http://h/")]),
    "comments": (
        f"{XML}<!-- a --><urlset><!-- b --><url><!-- c --><loc>http://h/<!-- d --></loc></url></urlset>",
        [page("http://h/")],
    ),
    "style sheet": ('<?xml version="1.0"?><?xml-stylesheet href="s.xsl"?>' + "<urlset></urlset>", []),
    "translations": (
        """<urlset><url><loc>http://h/en/</loc><xhtml:link rel="alternate" hreflang="de" href="http://h/de/"/>
        <xhtml:link rel="alternate" hreflang="en"/></url></urlset>""",
        [page("http://h/en/")],
    ),
    "pictures, videos and news": (
        """<urlset><url><image:image><image:loc>http://h/1.png</image:loc></image:image><loc>http://h/a</loc>
        <video:video><video:player_loc>http://h/v</video:player_loc><lastmod>2001-01-01</lastmod></video:video>
        <news:news><news:loc>http://h/n</news:loc></news:news><lastmod>2020-01-02</lastmod></url></urlset>""",
        [page("http://h/a", "2020-01-02")],
    ),
    "character data": (
        "<urlset><url><loc><![CDATA[http://h/?a=1&b=2]]></loc></url></urlset>",
        [page("http://h/?a=1&b=2")],
    ),
    "escaped": ("<urlset><url><loc>http://h/?a=1&amp;b=&#50;</loc></url></urlset>", [page("http://h/?a=1&b=2")]),
    "escaped twice": ("<urlset><url><loc>http://h/?a=1&amp;amp;b=2</loc></url></urlset>", [page("http://h/?a=1&b=2")]),
    "not escaped": ("<urlset><url><loc>http://h/?a=1&copy=2&b</loc></url></urlset>", [page("http://h/?a=1&copy=2&b")]),
    "control characters": ("<urlset><url><loc>http://h/\x00\x01a</loc></url></urlset>", [page("http://h/a")]),
    "entries without an address": (
        "<urlset><url/><url><loc/></url><url><lastmod>2020-01-01</lastmod></url><url><loc>http://h/</loc></url></urlset>",
        [page("http://h/")],
    ),
    "an address twice in one entry": (
        "<urlset><url><loc>http://h/a</loc><loc>http://h/b</loc></url></urlset>",
        [page("http://h/b")],
    ),
    "relative": ("<urlset><url><loc>/a</loc></url></urlset>", [page("/a")]),
    "no pages": (urlset(), []),
    "text": (
        "http://h/a\r\nhttps://h/b\n\n# note\nhttp://h/c",
        [page("http://h/a"), page("https://h/b"), page("http://h/c")],
    ),
    "text with a byte order mark": ("\ufeffhttp://h/a\n", [page("http://h/a")]),
    "text with an endless line": (
        "http://h/a\n" + "x" * 300_000 + "\nhttp://h/b",
        [page("http://h/a"), page("http://h/b")],
    ),
    "RSS": (
        """<rss xmlns:atom="a"><channel><link>http://h/</link><atom:link rel="self" href="http://h/rss"/>
        <item><title>A</title><link>http://h/a</link><atom:link rel="self" href="http://h/x"/></item></channel></rss>""",
        [Entry(FEED, "http://h/a")],
    ),
    "Atom": (
        """<feed xmlns="http://www.w3.org/2005/Atom"><link href="http://h/"/><updated>2020-01-01T00:00:00Z</updated><entry>
        <link rel="edit" href="http://h/edit"/><link rel="alternate" href="http://h/a"/><link href="http://h/b"/>
        <updated>2021-02-03T04:05:06Z</updated></entry></feed>""",
        [Entry(FEED, "http://h/a", "2021-02-03T04:05:06Z")],
    ),
}


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize(("text", "found"), KINDS_OF_FILES.values(), ids=KINDS_OF_FILES)
def test_it_reads_what_sitemaps_look_like(tmp_path: Path, text: str | bytes, found: list[Entry], packed: bool) -> None:
    body = text.encode() if isinstance(text, str) else text
    assert read(tmp_path, gzip.compress(body) if packed else body) == found


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64])
def test_it_does_not_matter_where_a_piece_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(sitemap_parser, "PIECE_BYTES", size)
    xml = f"\n{XML}<urlset><url><loc>http://h/?a=1&amp;b=é&c&#38;d</loc></url><!-- & --></urlset>"
    assert read(tmp_path, xml) == [page("http://h/?a=1&b=é&c&d")]
    assert read(tmp_path, "http://h/a\nhttp://h/é\n") == [page("http://h/a"), page("http://h/é")]


BROKEN = {
    "cut off in an address": ("<urlset><url><loc>http://h/a</loc></url><url><loc>http://h/bro", "malformed"),
    "cut off after an entry": ("<urlset><url><loc>http://h/a</loc></url>", "malformed"),
    "crossed tags": ("<urlset><url><loc>http://h/a</loc></url><url><loc>http://h/b</url>", "malformed"),
    "junk at the end": ("<urlset><url><loc>http://h/a</loc></url></urlset><b>", "malformed"),
    "nested too deeply behind an entry": ("<urlset><url><loc>http://h/a</loc></url>" + "<a>" * 30, "nests more than"),
    "cut gzip": (gzip.compress(b"http://h/a\n" * 1 + b"#" * 200_000 + bytes(range(256)) * 99)[:-300], "damaged"),
    "gzip with a wrong sum": (gzip.compress(b"http://h/a\n" + b"#\n" * 90_000)[:-8] + b"12345678", "damaged"),
}


@pytest.mark.parametrize(("text", "words"), BROKEN.values(), ids=BROKEN)
def test_what_was_read_before_a_fault_is_kept(tmp_path: Path, text: str | bytes, words: str) -> None:
    found, message = read_until_refused(tmp_path, text)
    assert found == [page("http://h/a")]
    assert words in message
    assert "https://h.example/sitemap.xml" in message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("<!DOCTYPE html><html><body>Not found</body></html>", "HTML page"),
        ("<html><body><url><loc>http://h/</loc></url></body></html>", "HTML page"),
        ("<page><url><loc>http://h/</loc></url></page>", "outermost element is <page>"),
        ("Not found", "neither XML nor a list"),
        ("", "neither XML nor a list"),
        ("  \n ", "neither XML nor a list"),
        (b"\x89PNG\r\n\x1a\n\x00", "neither XML nor a list"),
        (gzip.compress(gzip.compress(urlset("http://h/").encode())), "neither XML nor a list"),
        (b"\x1f\x8b\x08\x00rubbish", "damaged"),
        ("<", "malformed"),
        ("<url>&k;", "malformed"),
        ("<urlset>" + "<a>" * 100_000, "nests more than"),
        ("<urlset><url a='" + "x" * 1_000_000, "a tag of more than"),
        ("<urlset><!-- " + "x" * 1_000_000, "a tag of more than"),
    ],
    ids=range(14),
)
def test_what_is_no_sitemap_is_refused(tmp_path: Path, text: str | bytes, words: str) -> None:
    found, message = read_until_refused(tmp_path, text)
    assert found == []
    assert words in message


LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize(
    "declaration",
    [
        f'[<!ENTITY l0 "http://h/">{LAUGHS}]',
        '[<!ENTITY l9 SYSTEM "file:///etc/passwd">]',
        '[<!ENTITY % p SYSTEM "http://127.0.0.1:9/x.dtd"> %p; <!ENTITY l9 "x">]',
        'SYSTEM "http://127.0.0.1:9/x.dtd"',
    ],
    ids=["billion laughs", "external entity", "parameter entity", "external type"],
)
def test_entities_are_refused_and_never_expanded(tmp_path: Path, declaration: str, encoding: str) -> None:
    xml = f"<!DOCTYPE urlset {declaration}><urlset><url><loc>http://h/&l9;</loc></url></urlset>"
    found, message = read_until_refused(tmp_path, xml.encode(encoding))
    assert found == []
    assert "may declare entities, which is refused" in message


def test_of_51_000_addresses_the_first_50_000_are_read(tmp_path: Path) -> None:
    found, message = read_until_refused(tmp_path, urlset(*(f"https://h.example/{n}" for n in range(51_000))))
    assert len(found) == 50_000
    assert message.endswith("sitemap.xml names more than 50000 addresses; the rest is left out")


def test_a_long_list_is_read_in_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "sitemap"
    path.write_text(urlset(*(f"https://h.example/docs/page-{n}.html" for n in range(10_000)), lastmod="2020-01-01"))
    tracemalloc.start()
    count = sum(bool(entry.version) for entry in sitemap_parser.read(path, "long.xml"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 10_000
    assert peak < 1_500_000


@pytest.mark.parametrize("start", ["<urlset>", "http://h/a\n"])
def test_a_gzip_bomb_is_left_at_50_megabytes(tmp_path: Path, start: str) -> None:
    path = tmp_path / "sitemap"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(start.encode())
        for _ in range(60):
            file.write(b" " * 1_000_000)
    assert path.stat().st_size < 1_000_000
    tracemalloc.start()
    with pytest.raises(UnsupportedContent, match="larger than 52428800 bytes when unpacked"):
        list(sitemap_parser.read(path, "bomb.xml.gz"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4_000_000


@pytest.mark.parametrize(
    ("lastmod", "version"),
    [
        ("2020-01-02", "2020-01-02"),
        ("2020-01-02T03:04:05Z", "2020-01-02T03:04:05Z"),
        (" 2020-01-02T03:04:05.678+02:00 ", "2020-01-02T03:04:05.678+02:00"),
        ("2020-01-02 03:04", "2020-01-02 03:04"),
        ("2020-01", ""),
        ("2020", ""),
        ("yesterday", ""),
        ("", ""),
        ("2020-01-02" + "x" * 100, ""),
    ],
)
def test_a_date_tells_versions_apart_when_it_is_fine_enough(lastmod: str, version: str) -> None:
    assert sitemap_parser.version_of(lastmod) == version


def test_a_day_that_may_not_be_over_tells_nothing_yet() -> None:
    now = datetime.now(UTC)
    for days, known in ((1, False), (0, False), (-1, False), (-3, True)):
        day = (now + timedelta(days=days)).date().isoformat()
        assert bool(sitemap_parser.version_of(day)) is known
        assert sitemap_parser.version_of(f"{day}T00:00:00Z")


# --- Sets of files ------------------------------------------------------------------------------------


def spec_of(target: str, **options: object) -> SourceSpec:
    quick = {"crawl_policy": CrawlPolicy(delay_seconds=0.0, connections=0), "max_pages": 5000}
    return SourceSpec(kind="sitemap", target=target, **{**quick, **options})  # type: ignore[arg-type]


def addresses(listing: Listing, site: LocalSite) -> list[str]:
    return [document.url.removeprefix(site.url("")) for document in listing.documents]


def index(*addresses: str) -> bytes:
    files = "".join(f"<sitemap><loc>{address}</loc></sitemap>" for address in addresses)
    return f"{XML}<sitemapindex {NAMESPACE}>{files}</sitemapindex>".encode()


def test_it_names_the_pages_of_a_sitemap_with_their_versions(site: LocalSite) -> None:
    xml = (
        f"<urlset><url><loc>{site.url('/a')}</loc><lastmod>2020-01-01</lastmod></url><url><loc>/b</loc></url></urlset>"
    )
    listing = sitemap.list_documents(spec_of(site.page("/sitemap.xml", xml.encode())))
    assert list(listing.documents) == [Listed(site.url("/a"), "2020-01-01"), Listed(site.url("/b"))]
    assert (listing.complete, listing.notes) == (True, ())


def test_it_reads_an_index_of_indexes_packed_or_not(site: LocalSite) -> None:
    site.page("/index.xml", index(site.url("/more.xml"), "/one.xml.gz", "/two.txt"), Content_Type="application/xml")
    site.page("/more.xml", index("/three.xml.gz"))
    site.page("/one.xml.gz", gzip.compress(urlset(site.url("/1")).encode()), Content_Type="application/x-gzip")
    site.page("/two.txt", site.url("/2").encode(), Content_Type="text/plain")
    # Packed for the way by the server, which then unpacks to XML under the name of a packed file.
    packed = gzip.compress(urlset(site.url("/3")).encode())
    site.page("/three.xml.gz", packed, Content_Type="text/xml", Content_Encoding="gzip")
    listing = sitemap.list_documents(spec_of(site.url("/index.xml")))
    assert sorted(addresses(listing, site)) == ["/1", "/2", "/3"]
    assert (listing.complete, listing.notes) == (True, ())


def test_robots_txt_leads_to_its_sitemaps(site: LocalSite) -> None:
    rules = f"User-agent: *\nDisallow: /robots\nSitemap: {site.url('/1.xml')}\nsitemap:{site.url('/2.xml')}"
    site.page("/robots.txt", rules.encode(), Content_Type="text/plain")
    site.page("/1.xml", urlset(site.url("/a")).encode())
    site.page("/2.xml", urlset(site.url("/b")).encode())
    listing = sitemap.list_documents(spec_of(site.url("/robots.txt")))
    assert addresses(listing, site) == ["/a", "/b"]


def test_a_robots_txt_without_sitemaps_says_so(site: LocalSite) -> None:
    site.page("/robots.txt", b"User-agent: *\n", Content_Type="text/plain")
    with pytest.raises(UnsupportedContent, match=r"robots\.txt names no sitemap"):
        sitemap.list_documents(spec_of(site.url("/robots.txt")))


def test_a_sitemap_that_names_itself_is_read_once(site: LocalSite) -> None:
    site.page("/a.xml", index(site.url("/a.xml"), site.url("/b.xml"), site.url("/b.xml#x"), site.url("/moved.xml")))
    site.page("/b.xml", index(site.url("/a.xml"), site.url("/c.xml")))
    site.page("/moved.xml", status=301, Location="/c.xml")
    site.page("/c.xml", urlset(site.url("/page")).encode())
    listing = sitemap.list_documents(spec_of(site.url("/a.xml")))
    assert addresses(listing, site) == ["/page"]
    assert sorted(path for path in site.paths if path != "/robots.txt") == ["/a.xml", "/b.xml", "/c.xml", "/moved.xml"]
    assert listing.complete


def test_it_stops_at_the_third_level_and_says_so(site: LocalSite) -> None:
    for level in range(1, 6):
        site.page(f"/{level}.xml", index(f"/{level + 1}.xml", f"/{level}-pages.xml"))
        site.page(f"/{level}-pages.xml", urlset(site.url(f"/p{level}")).encode())
    listing = sitemap.list_documents(spec_of(site.url("/1.xml")))
    assert addresses(listing, site) == ["/p1", "/p2"]
    assert not listing.complete
    assert "nested more than 3 deep are left out" in listing.notes[0]


def test_it_stops_at_a_hundred_files_and_says_so(site: LocalSite) -> None:
    site.page("/index.xml", index(*(f"/{n}.xml" for n in range(1000))))
    for n in range(1000):
        site.page(f"/{n}.xml", urlset(site.url(f"/p{n}")).encode())
    listing = sitemap.list_documents(spec_of(site.url("/index.xml")))
    assert len(list(listing.documents)) == 99
    assert not listing.complete
    assert listing.notes == ("Only the first 100 sitemaps are read; the rest is left out.",)


def test_it_stops_when_reading_takes_too_long(site: LocalSite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sitemap, "READING_SECONDS", 0.0)
    site.page("/index.xml", index("/1.xml"))
    listing = sitemap.list_documents(spec_of(site.url("/index.xml")))
    assert not listing.complete
    assert "took longer than" in listing.notes[0]


def test_it_stops_in_the_middle_of_a_list_whose_addresses_take_long(
    site: LocalSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.page("/sitemap.xml", urlset("/a", "/b", "/c").encode())
    reading = sitemap.Reading(spec_of(site.url("/sitemap.xml")))

    def judged_slowly(url: str) -> bool:
        reading._until = 0.0
        return False

    monkeypatch.setattr(crawler, "is_forbidden", judged_slowly)
    reading.read([site.url("/sitemap.xml")])
    assert list(reading.documents) == [site.url("/a")]
    assert not reading.complete
    assert "took longer than" in reading.notes()[0]


def test_it_stops_at_the_bound_on_pages_and_says_so(site: LocalSite) -> None:
    site.page("/sitemap.xml", index("/1.xml", "/2.xml"))
    site.page("/1.xml", urlset("/a", "/a", "/b", "/b", "/c", "/d").encode())
    site.page("/2.xml", urlset("/e").encode())
    listing = sitemap.list_documents(spec_of(site.url("/sitemap.xml"), max_pages=3))
    assert addresses(listing, site) == ["/a", "/b", "/c"]
    assert (listing.complete, listing.notes) == (False, ("The source's bound of 3 pages is reached (max_pages).",))
    assert "/2.xml" not in site.paths


def test_a_file_that_leads_to_one_that_was_read_is_not_read_again(site: LocalSite) -> None:
    site.page("/sitemap.xml", index("/1.xml", "/2.xml"))
    site.page("/1.xml", urlset("/a", "http://other.example/").encode())
    site.page("/2.xml", status=301, Location="/1.xml")
    listing = sitemap.list_documents(spec_of(site.url("/sitemap.xml")))
    assert addresses(listing, site) == ["/a"]
    assert "1 addresses" in listing.notes[0]


def test_exactly_as_many_pages_as_the_bound_are_complete(site: LocalSite) -> None:
    site.page("/sitemap.xml", urlset("/a", "/b", "/a", "/c", "/b").encode())
    listing = sitemap.list_documents(spec_of(site.url("/sitemap.xml"), max_pages=3))
    assert (len(list(listing.documents)), listing.complete) == (3, True)


def test_what_is_left_out_is_counted_with_an_example(site: LocalSite) -> None:
    site.page("/robots.txt", b"User-agent: *\nDisallow: /closed/", Content_Type="text/plain")
    names = ["http://other.example/1", "http://other.example/2", "/a.pdf.zip", "/x/x/x/x/x", "/old/a", "/closed/a"]
    site.page("/sitemap.xml", urlset(*names, "/a?utm_source=sitemap", "javascript:x", "http://[x/", "/a").encode())
    listing = sitemap.list_documents(spec_of(site.url("/sitemap.xml"), exclude=("/old/*",)))
    assert addresses(listing, site) == ["/a"]
    assert listing.complete
    assert listing.notes == (
        "2 addresses on another host are left out, for example http://other.example/1.",
        f"1 addresses of files that are no pages are left out, for example {site.url('/a.pdf.zip')}.",
        f"1 addresses that look generated without end are left out, for example {site.url('/x/x/x/x/x')}.",
        f"1 addresses that the globs do not want are left out, for example {site.url('/old/a')}.",
        f"1 addresses that robots.txt forbids are left out, for example {site.url('/closed/a')}.",
        "2 addresses that are no web addresses are left out, for example javascript:x.",
    )


def test_an_example_has_no_characters_that_no_row_can_hold(site: LocalSite) -> None:
    site.page("/sitemap.txt", f"{site.url('/a')}\n{site.url('/b')}\0\n".encode(), Content_Type="text/plain")
    (note,) = sitemap.list_documents(spec_of(site.url("/sitemap.txt"))).notes
    assert note == f"1 addresses that are no web addresses are left out, for example {site.url('/b')}\ufffd."


def test_an_example_is_not_longer_than_a_note(site: LocalSite) -> None:
    site.page("/sitemap.xml", urlset("/a", "/" + "x" * 3000).encode())
    (note,) = sitemap.list_documents(spec_of(site.url("/sitemap.xml"))).notes
    assert "no web addresses" in note
    assert len(note) < 300


def test_sitemaps_on_other_hosts_are_not_asked(site: LocalSite) -> None:
    elsewhere = site.url("/b.xml", host="localhost")
    site.page("/index.xml", index(elsewhere, "/a.xml", "/away.xml"))
    site.page("/a.xml", urlset("/a").encode())
    site.page("/b.xml", urlset("/b").encode())
    site.page("/away.xml", status=302, Location=elsewhere)
    listing = sitemap.list_documents(spec_of(site.url("/index.xml")))
    assert addresses(listing, site) == ["/a"]
    assert not listing.complete
    assert all("lies on another host" in note for note in listing.notes)
    assert "/b.xml" not in site.paths


def test_one_damaged_file_leaves_the_others_and_the_list_incomplete(site: LocalSite) -> None:
    site.page("/index.xml", index("/cut.xml", "/gone.xml", "/busy.xml", "/html.xml", "/good.xml"))
    site.page("/cut.xml", b"<urlset><url><loc>/a</loc></url><url><loc>/hal")
    site.page("/busy.xml", b"", status=500)
    site.page("/html.xml", b"<!doctype html><p>Not found")
    site.page("/good.xml", urlset("/z").encode())
    listing = sitemap.list_documents(spec_of(site.url("/index.xml")))
    assert addresses(listing, site) == ["/a", "/z"]
    assert not listing.complete
    words = (
        "cut.xml is malformed",
        "gone.xml does not exist",
        "busy.xml answered HTTP 500",
        "no sitemap but an HTML page",
    )
    assert len(listing.notes) == 4
    for note, part in zip(listing.notes, words, strict=True):
        assert part in note


def test_many_failures_are_told_in_a_few_notes(site: LocalSite) -> None:
    site.page("/index.xml", index("/good.xml", *(f"/{n}.xml" for n in range(40))))
    site.page("/good.xml", urlset("/a").encode())
    notes = sitemap.list_documents(spec_of(site.url("/index.xml"))).notes
    assert len(notes) == 6
    assert notes[-1] == "35 more sitemaps could not be read."


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ({"status": 404}, PageGone),
        ({"status": 500}, FetchFailed),
        ({"status": 403}, PageRefused),
        ({"body": b"<html><p>Hello"}, UnsupportedContent),
        ({"body": b"<!DOCTYPE x [<!ENTITY a 'b'>]><urlset/>"}, UnsupportedContent),
        ({"status": 302, "Location": "/sitemap.xml"}, PageRefused),
        ({"status": 302, "Location": "http://192.0.2.1/sitemap.xml"}, AddressRefused),
    ],
    ids=str,
)
def test_a_sitemap_that_cannot_be_read_is_an_error(site: LocalSite, answer: dict[str, Any], error: type) -> None:
    site.page("/sitemap.xml", **answer)
    with pytest.raises(error, match=r"sitemap\.xml"):
        sitemap.list_documents(spec_of(site.url("/sitemap.xml")))


def test_a_sitemap_that_robots_txt_forbids_is_not_read(site: LocalSite) -> None:
    site.page("/robots.txt", b"User-agent: *\nDisallow: /", Content_Type="text/plain")
    site.page("/sitemap.xml", urlset("/a").encode())
    with pytest.raises(AddressRefused, match=r"robots.txt forbids"):
        sitemap.list_documents(spec_of(site.url("/sitemap.xml")))
    assert site.paths == ["/robots.txt"]


def test_an_empty_sitemap_names_nothing(site: LocalSite) -> None:
    listing = sitemap.list_documents(spec_of(site.page("/sitemap.xml", urlset().encode())))
    assert (list(listing.documents), listing.complete) == ([], True)


def test_a_feed_names_the_latest_pages_only(site: LocalSite) -> None:
    feed = "<rss><channel><item><link>/a</link></item></channel></rss>"
    listing = sitemap.list_documents(spec_of(site.page("/feed", feed.encode(), Content_Type="application/rss+xml")))
    assert addresses(listing, site) == ["/a"]
    assert not listing.complete
    assert "is a feed" in listing.notes[0]


def test_a_bomb_among_the_files_is_left_and_told(site: LocalSite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sitemap_parser, "MAX_FILE_BYTES", 1_000_000)
    site.page("/index.xml", index("/bomb.xml.gz", "/good.xml"))
    site.page("/bomb.xml.gz", gzip.compress(b"<urlset><url><loc>/a</loc></url>" + b" " * 2_000_000))
    site.page("/good.xml", urlset("/z").encode())
    listing = sitemap.list_documents(spec_of(site.url("/index.xml")))
    assert addresses(listing, site) == ["/a", "/z"]
    assert "larger than 1000000 bytes when unpacked" in listing.notes[0]


def test_its_target_is_written_in_one_way_and_its_pages_lead_nowhere() -> None:
    assert sitemap.normalise("HTTPS://H.example/sitemap.xml#x") == "https://h.example/sitemap.xml"
    assert (
        sitemap.follow(spec_of("https://h.example/sitemap.xml"), "https://h.example/a", ["https://h.example/b"]) == []
    )


def test_it_fetches_pages_of_its_host_only(site: LocalSite) -> None:
    spec = spec_of(site.url("/maps/sitemap.xml"))
    site.page("/docs/a", b"<p>hello")
    page = sitemap.fetch(spec, site.url("/docs/a"))
    assert page is not None
    assert page.body == b"<p>hello"
    with pytest.raises(AddressRefused, match="lies outside"):
        sitemap.fetch(spec, site.url("/docs/a", host="localhost"))


def test_a_listing_waits_for_its_turns(site: LocalSite) -> None:
    site.page("/index.xml", index("/a.xml", "/b.xml"))
    site.page("/a.xml", urlset("/a").encode())
    site.page("/b.xml", urlset("/b").encode())
    listing = sitemap.list_documents(spec_of(site.url("/index.xml"), crawl_policy=CrawlPolicy(delay_seconds=0.2)))
    assert (addresses(listing, site), listing.complete) == (["/a", "/b"], True)


def test_every_file_takes_its_turn_at_the_pace_of_the_source(site: LocalSite, monkeypatch: pytest.MonkeyPatch) -> None:
    slots: list[tuple[str, CrawlPolicy]] = []

    @contextmanager
    def slot(url: str, policy: CrawlPolicy = CrawlPolicy(), *, token: str = "") -> Iterator[None]:
        slots.append((url, policy))
        yield

    monkeypatch.setattr(politeness, "slot", slot)
    site.page("/index.xml", index("/a.xml"))
    site.page("/a.xml", urlset("/a").encode())
    policy = CrawlPolicy(delay_seconds=7.0, connections=1)
    sitemap.list_documents(spec_of(site.url("/index.xml"), crawl_policy=policy))
    assert slots[1:] == [(site.url("/index.xml"), policy), (site.url("/a.xml"), policy)]  # robots.txt is the first


def test_a_host_that_is_busy_for_long_is_asked_another_time(site: LocalSite, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def slot(url: str, policy: CrawlPolicy = CrawlPolicy(), *, token: str = "") -> Iterator[None]:
        if url.endswith("a.xml"):
            raise HostBusy("busy", retry_after=300.0)
        yield

    monkeypatch.setattr(politeness, "slot", slot)
    site.page("/index.xml", index("/a.xml"))
    listing = sitemap.list_documents(spec_of(site.url("/index.xml")))
    assert not listing.complete
    assert "too busy" in listing.notes[0]
    with pytest.raises(HostBusy):
        sitemap.list_documents(spec_of(site.url("/a.xml")))
