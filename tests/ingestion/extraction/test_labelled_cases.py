"""What the tests of html5lib, w3lib, Scrapy and advocate call right happens here too; differences have reasons."""

from __future__ import annotations

import ast
import codecs
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingestion.exceptions import AddressRefused, UnsupportedContent
from ingestion.extraction.encoding import declared, decode, usable_codec
from ingestion.extraction.html.page_index import PageIndex
from ingestion.extraction.html.parser import parse
from ingestion.fetching import responses, robots_txt, ssrf_guard
from ingestion.fetching.urls import canonical
from ingestion.sources.web import sitemap_parser
from ingestion.sources.web.sitemap_parser import PAGES, SITEMAPS, Entry
from tests.ingestion.extraction.test_encoding import CENTRAL, CYRILLIC, DANISH, JAPANESE
from tests.ingestion.fetching.test_ssrf import ACCEPTABLE, ADVOCATE, SAFECURL
from tests.support import corpora, source_archives

# --- html5lib: encodings --------------------------------------------------------------------------------

# Words that each of the expected encodings writes in bytes that no other of them reads as the same.
WITNESSES = {"windows-1252": DANISH, "iso-8859-2": CENTRAL, "utf-8": CENTRAL, "euc-jp": JAPANESE}
# A quotation mark that is left over behind a label hides from browsers what it means. Not from us.
QUOTED_LABELS = {"tests1.dat 10", "tests1.dat 25"}


def encodings() -> list[tuple[str, bytes, str]]:
    """Return name, page and its encoding: the one that it declares, or that of most western pages."""
    files = source_archives.read_all("html5lib", "/testdata/encoding/", ".dat")
    cases = [(f"{f} {n}", case) for f, body in files.items() for n, case in enumerate(corpora.sections(body))]
    return [(name, case["data"], case["encoding"].decode().strip().lower()) for name, case in cases]


def reads(page: bytes, words: str, encoding: str, charset: str = "") -> bool:
    return decode(page + b"<p>" + words.encode(encoding), charset, is_html=True).endswith(f"<p>{words}")


def test_it_finds_the_encoding_that_a_page_declares_as_browsers_do() -> None:
    cases = encodings()
    different = {name for name, page, encoding in cases if not reads(page, WITNESSES[encoding], encoding)}
    assert (len(cases), different) == (83, QUOTED_LABELS)


def unmarked() -> list[bytes]:
    return [page for _, page, _ in encodings() if not page.startswith(codecs.BOM_UTF8)]


def test_the_transport_outranks_whatever_a_page_declares() -> None:
    assert len(unmarked()) == 81
    assert [page for page in unmarked() if not reads(page, CYRILLIC, "koi8-r", "koi8-r")] == []


def test_a_byte_order_mark_outranks_transport_and_page() -> None:
    marked = [codecs.BOM_UTF8 + page for page in unmarked()]
    assert [page for page in marked if not reads(page, CYRILLIC, "utf-8", "koi8-r")] == []


def test_it_detects_an_encoding_that_nothing_names() -> None:
    body = source_archives.read("html5lib", "/testdata/encoding/chardet/test_big5.txt")
    assert decode(body) == body.decode("big5hkscs")


# --- w3lib: encodings -----------------------------------------------------------------------------------

# Written wrongly, but no reader can take it for anything else.
LENIENT_HEADERS = {
    "text/html; charset = utf-8",
    'text/html; charset= "utf-8"',
    "text/html; charset='utf-8'",
    'text/html; charset="utf-8',
    'text/html; charset=utf-8"',
    'text/html; charset="utf-8"x',
    'text/html; charset="utf-8"extra',
}
# w3lib honours an "http-equiv" that is spelled otherwise and a tag with a blank before its name, and stops at the
# body. Browsers do none of it.
UNLIKE_BROWSERS = {
    b'<meta http-equiv="Fake-Content-Type-Header" content="text/html; charset=utf-8">',
    b'<meta httpequiv="ContentType" content="text/html; charset=gbk" />',
    b'<meta http_equiv="content-type" content="text/html; charset=gbk">',
    b'<meta http-equiv="content-type" charset="" content="text/html; charset=gbk">',
    b"""bad html still supported < meta http-equiv='Content-Type'\n content="text/html; charset=utf-8">""",
    b'<head></head><body>\n            this isn\'t searched\n            <meta charset="utf-8">',
}


def w3lib(name: str) -> bytes:
    return source_archives.read("w3lib", f"/tests/{name}.py")


def codec(label: str | None) -> str:
    return usable_codec(label or "")


def test_it_reads_the_charset_of_a_content_type() -> None:
    cases = list(corpora.compared(ast.parse(w3lib("test_encoding")), "http_content_type_encoding"))
    different = {header for (header,), label in cases if codec(responses._charset(header)) != codec(label)}
    assert (len(cases), different) == (29, LENIENT_HEADERS)


def declarations() -> dict[bytes, str | None]:
    source = w3lib("test_encoding")
    cases = [(body, label) for (body,), label in corpora.compared(ast.parse(source), "html_body_declared_encoding")]
    cases += corpora.parametrized(corpora.function(source, "test_html_body_declared_encoding_attributes"))
    (fragments,) = corpora.assigned(ast.parse(source), "utf8_fragments")
    cases += [(fragment, "utf-8") for fragment in fragments]
    return {(body.encode() if isinstance(body, str) else body).strip(): label for body, label in cases}


def test_it_reads_the_declaration_of_a_page() -> None:
    cases = declarations()
    different = {body for body, label in cases.items() if codec(declared(body)) != codec(label)}
    assert (len(cases), different) == (40, UNLIKE_BROWSERS)


def conversions() -> Iterator[tuple[str, bytes, list[str]]]:
    """Yield the transport's charset, the body, and the texts that are right."""
    for arguments in corpora.calls(ast.parse(w3lib("test_encoding")), "_assert_encoding"):
        if all(map(corpora.is_literal, arguments)):
            charset, body, _, text = map(corpora.literal, arguments)
            yield charset or "", body, text if isinstance(text, list) else [text]


# Without a byte order mark w3lib takes the first byte for the greater one, browsers take the second.
NO_MARK = [("utf-16", b"\0h\0i", ["hi"]), ("utf-32", b"\0\0\0h\0\0\0i", ["hi"])]


def test_it_converts_pages() -> None:
    cases = list(conversions())
    wrong = [case for case in cases if decode(case[1], case[0], is_html=True).removeprefix("\ufeff") not in case[2]]
    assert (len(cases), wrong) == (13, NO_MARK)


# --- w3lib: addresses -----------------------------------------------------------------------------------

# The name server decides about a name of digits, and ssrf_guard about its answer.
NAMES_OF_DIGITS = {"http://192.168.0.256", "http://192.168.0.0.0"}


def addresses() -> list[tuple[str, str | None]]:
    """Return pairs of an address on the web and one that means the same, or None if it is invalid."""
    tree = ast.parse(w3lib("test_url"))
    (table,) = (
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and corpora.name_of(node.targets[0]) == "SAFE_URL_URL_CASES"
    )
    assert isinstance(table, ast.Tuple)
    rows = [row.elts for row in table.elts if isinstance(row, ast.Tuple) and corpora.is_literal(row.elts[0])]
    pairs = [(corpora.literal(a), corpora.literal(b) if corpora.is_literal(b) else None) for a, b in rows]
    pairs += [(first, text) for (first, *more), text in corpora.compared(tree, "safe_url_string") if not more]
    pairs += corpora.flattened(corpora.assigned(tree, "websites"))
    return [(a, b) for a, b in pairs if isinstance(a, str) and a.lower().startswith("http")]


def spelled(address: str | None) -> str | None:
    try:
        return canonical(address) if address else None
    except AddressRefused:
        return None


def is_repaired(address: str, spelling: str | None) -> bool:
    """Return whether w3lib mends an address that parsers read differently; here such addresses are refused."""
    return spelling is None and (not address.isprintable() or any(sign in address for sign in "\\[ｅ"))


def test_it_spells_addresses_alike_or_refuses_them() -> None:
    cases = addresses()
    different = {a: spelled(a) for a, b in cases if spelled(a) != spelled(b)}
    repaired = {address for address, spelling in different.items() if is_repaired(address, spelling)}
    assert (len(cases), len(repaired), different.keys() - repaired) == (115, 16, NAMES_OF_DIGITS)


def base_addresses() -> Iterator[tuple[str, str, str]]:
    """Yield a page, its address, and the address that its references are relative to."""
    for test in ast.walk(ast.parse(w3lib("test_html"))):
        if isinstance(test, ast.FunctionDef) and "base_url" in ast.unparse(test):
            for arguments, base in corpora.compared(corpora.with_values(test), "get_base_url"):
                page, address = (*arguments, "https://docs.example")[:2]
                if isinstance(page, str) and isinstance(address, str):
                    yield page, address, base or "https://docs.example"


def test_references_start_where_browsers_start_them() -> None:
    cases = list(base_addresses())
    wrong = [p for p, address, base in cases if spelled(PageIndex(parse(p), address).head.base) != spelled(base)]
    assert len(cases) == 32
    assert all("<noscript" in page for page in wrong)  # which is read here, since no scripts run
    assert len(wrong) == 2


# --- Scrapy: sitemaps -----------------------------------------------------------------------------------

SCRAPYS_SITEMAPS = [
    *("test_sitemap", "test_sitemap_index", "test_sitemap_strip", "test_sitemap_wrong_ns", "test_sitemap_wrong_ns2"),
    *("test_sitemap_blanklines", "test_comment", "test_alternate"),
]
# Scrapy reads on where a file declares entities or breaks off; nothing good comes after.
REFUSED_SITEMAPS = ["test_xml_entity_expansion", "test_sitemap_non_string_tag"]


def scrapy(name: str) -> bytes:
    return source_archives.read("scrapy", f"/tests/{name}.py")


def read_sitemap(folder: Path, test: ast.FunctionDef) -> Iterator[Entry]:
    ((argument,),) = corpora.calls(test, "Sitemap")
    path = folder / "sitemap"
    path.write_bytes(corpora.literal(argument))
    return sitemap_parser.read(path, "https://h.example/sitemap.xml")


@pytest.mark.parametrize("name", SCRAPYS_SITEMAPS)
def test_it_reads_scrapys_sitemaps(tmp_path: Path, name: str) -> None:
    test = corpora.function(scrapy("test_utils_sitemap"), name)
    (rows,) = corpora.expected(test, "list")
    kind = SITEMAPS if b"<sitemapindex" in corpora.literal(next(corpora.calls(test, "Sitemap"))[0]) else PAGES
    assert list(read_sitemap(tmp_path, test)) == [Entry(kind, row["loc"], row.get("lastmod", "")) for row in rows]


@pytest.mark.parametrize("name", REFUSED_SITEMAPS)
def test_it_refuses_sitemaps_that_declare_entities_or_break_off(tmp_path: Path, name: str) -> None:
    with pytest.raises(UnsupportedContent):
        list(read_sitemap(tmp_path, corpora.function(scrapy("test_utils_sitemap"), name)))


def test_no_sitemap_of_scrapys_is_left_out() -> None:
    tree = ast.parse(scrapy("test_utils_sitemap"))
    tests = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    others = {"test_sitemap_str", "test_sitemap_urls_from_robots", "test_sitemap_urls_from_robots_str_compat"}
    assert tests == {*SCRAPYS_SITEMAPS, *REFUSED_SITEMAPS, *others}


def test_it_finds_the_sitemaps_in_scrapys_robots_txt() -> None:
    test = corpora.function(scrapy("test_utils_sitemap"), "test_sitemap_urls_from_robots")
    (body,) = corpora.assigned(test, "robots")
    (named,) = (corpora.literal(n) for n in ast.walk(test) if isinstance(n, ast.List))
    assert list(robots_txt.parse(body, "ours", "http://example.com").sitemaps) == named


# --- Scrapy: robots.txt ---------------------------------------------------------------------------------

SCRAPYS_ROBOTS = {
    "test_allowed": 2,
    "test_allowed_wildcards": 7,
    "test_length_based_precedence": 1,
    "test_empty_response": 4,
    "test_garbage_response": 4,
    "test_unicode_url_and_useragent": 8,
}


def verdicts(test: ast.FunctionDef) -> Iterator[tuple[str, str, bool]]:
    for asserted in (node.test for node in ast.walk(test) if isinstance(node, ast.Assert)):
        denied = isinstance(asserted, ast.UnaryOp)
        for url, agent in corpora.calls(asserted, "allowed"):
            yield corpora.literal(url), corpora.literal(agent), not denied


def body_of(test: ast.FunctionDef) -> bytes:
    bodies = [*corpora.assigned(test, "robotstxt_robotstxt_body"), *corpora.assigned(test, "robotstxt_body")]
    (body,) = bodies or [corpora.literal(arguments[0]) for arguments in corpora.calls(test, "_parse")]
    assert isinstance(body, bytes)
    return body


@pytest.mark.parametrize(("name", "count"), SCRAPYS_ROBOTS.items())
def test_it_judges_like_scrapy(name: str, count: int) -> None:
    test = next(n for n in scrapys_robot_tests() if n.name == name)
    cases = list(verdicts(test))
    assert len(cases) == count
    body = body_of(test)
    assert [case for case in cases if robots_txt.parse(body, case[1]).allow(case[0]) is not case[2]] == []


def scrapys_robot_tests() -> list[ast.FunctionDef]:
    tree = ast.parse(scrapy("test_robotstxt_interface"))
    (shared,) = (node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "BaseRobotParserTest")
    return [node for node in shared.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")]


def test_no_robots_txt_of_scrapys_is_left_out() -> None:
    # One is for parsers that go by the order of the rules, which RFC 9309 does not.
    others = {"test_order_based_precedence", "test_crawl_delay", "test_crawl_delay_unset"}
    assert {test.name for test in scrapys_robot_tests()} == {*SCRAPYS_ROBOTS, *others}


@pytest.mark.parametrize("name", ["test_crawl_delay", "test_crawl_delay_unset"])
def test_it_reads_the_delay_that_scrapy_reads(name: str) -> None:
    test = next(n for n in scrapys_robot_tests() if n.name == name)
    ((_, seconds),) = corpora.compared(test, "crawl_delay")
    assert robots_txt.parse(body_of(test), "ours").crawl_delay == (seconds or 0)


@pytest.mark.parametrize("name", ["test_decode_utf8", "test_decode_non_utf8", "test_decode_utf8_bom"])
def test_it_reads_a_robots_txt_in_any_encoding(name: str) -> None:
    (body,) = corpora.assigned(corpora.function(scrapy("test_robotstxt_interface"), name), "robotstxt_body")
    assert not robots_txt.parse(body, "ours").allow("http://site.example/a")


# --- advocate: addresses --------------------------------------------------------------------------------

# What its tests forbid or allow by lists of their own, not by what the addresses are.
BY_LIST = {"132.0.5.1", "152.254.90.1"}


def advocate() -> ast.Module:
    return ast.parse(source_archives.read("advocate", "/test/test_advocate.py"))


def judged(method: str) -> set[str]:
    """Return the addresses about which ``method`` (assertFalse, assertTrue) is asked."""
    asked = corpora.flattened(corpora.calls(node, "is_ip_allowed") for [node, *_] in corpora.calls(advocate(), method))
    return {literal for arguments in asked for argument in arguments for literal in texts(argument)}


def texts(node: ast.AST) -> set[str]:
    return {n.value for n in ast.walk(node) if isinstance(n, ast.Constant) and isinstance(n.value, str)}


def test_all_addresses_that_advocate_forbids_are_refused_here() -> None:
    kinds = {text for arguments in corpora.calls(advocate(), "_test_ip_kind_blocked") for text in texts(arguments[0])}
    forbidden = (judged("assertFalse") | kinds) - BY_LIST
    assert len(forbidden) == 16
    assert forbidden <= set(ADVOCATE)
    for address in forbidden:
        with pytest.raises(AddressRefused):
            ssrf_guard.check_address(address, 80)


def test_all_networks_that_advocate_forbids_are_refused_here() -> None:
    test = corpora.function(source_archives.read("advocate", "/test/test_advocate.py"), "test_safecurl_blacklist")
    networks = {text for text in texts(test) if "/" in text}
    assert networks == set(SAFECURL)


def test_all_addresses_that_advocate_allows_are_let_through_here() -> None:
    allowed = judged("assertTrue") - {"127.0.0.1"}  # by a list
    assert allowed <= set(ACCEPTABLE)
    for address in allowed:
        ssrf_guard.check_address(address, 80)
    assert allowed
