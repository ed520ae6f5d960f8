"""Which addresses are documents of a source, and which of them are one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestion.exceptions import AddressRefused
from ingestion.sources.web.url_scope import (
    canonical_in_scope,
    comparison_key,
    document_of,
    exclusion_reason,
    is_trap,
    normalise_in_source,
    normalise_url,
    template,
)
from ingestion.types import SourceSpec

HEX = "0123456789abcdef0123456789abcdef"


def website(target: str = "https://h.example/docs/", **options: object) -> SourceSpec:
    return SourceSpec(kind="website", target=target, **options)  # type: ignore[arg-type]


# --- One spelling -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "same"),
    [
        ("https://h.example/a?utm_source=x&utm_medium=mail", "https://h.example/a"),
        ("https://h.example/a?q=1&gclid=abc&b=2&fbclid=z", "https://h.example/a?q=1&b=2"),
        ("https://h.example/a?UTM_Campaign=x", "https://h.example/a"),
        ("https://h.example/a?_hsenc=1&mc_cid=2&msclkid=3", "https://h.example/a"),
        ("https://h.example/a?&&b=1&", "https://h.example/a?b=1"),
        ("https://h.example/a?", "https://h.example/a"),
        (f"https://h.example/a?PHPSESSID={HEX}&p=2", "https://h.example/a?p=2"),
        ("https://h.example/a;jsessionid=1A530637289A03B07199A44E8D531427?x=1", "https://h.example/a?x=1"),
        ("https://h.example/a;JSESSIONID=x.node1/b", "https://h.example/a/b"),
        ("https://h.example/a/.;jsessionid=1/b", "https://h.example/a/b"),
        ("https://h.example/(S(lit3py55t21z5v55vlm25s55))/a.aspx", "https://h.example/a.aspx"),
        (f"https://h.example/a?sid={HEX}", "https://h.example/a"),
        ("https://h.example/a?session_id=abcdefgh12345678", "https://h.example/a"),
        # What also chooses what is shown stays.
        ("https://h.example/a?sid=12", "https://h.example/a?sid=12"),
        ("https://h.example/a?s=internationalization", "https://h.example/a?s=internationalization"),
        ("https://h.example/a?ref=main&source=api", "https://h.example/a?ref=main&source=api"),
        ("https://h.example/a?b=2&a=1", "https://h.example/a?b=2&a=1"),
        ("https://h.example/f(x)/a;v=1.2", "https://h.example/f(x)/a;v=1.2"),
        # Several servers give different pages for these, so that they stay apart.
        ("https://h.example/a/", "https://h.example/a/"),
        ("https://h.example/a/index.html", "https://h.example/a/index.html"),
        ("https://h.example/A", "https://h.example/A"),
        ("HTTPS://H.example:443/a/../b#part", "https://h.example/b"),
    ],
)
def test_an_address_has_one_spelling(url: str, same: str) -> None:
    assert normalise_url(url) == same


PIECES = st.sampled_from(
    [
        "/",
        "a",
        "..",
        ".",
        ";jsessionid=1",
        "(S(lit3py55t21z5v55vlm25s55))",
        "?",
        "&",
        "=",
        "utm_x=1",
        "sid=" + HEX,
        "%2e",
        "%",
        "%zz",
        "#",
        "é",
        "\\",
        " ",
        "{n}",
        "5.2",
        ";",
        "//",
        "2024-01-02",
        ":",
        "@",
        "[",
        "]",
        "\x00",
    ]
)


@given(st.one_of(st.lists(PIECES, max_size=14).map("".join), st.text(max_size=60)))
def test_spelling_twice_changes_nothing_and_only_refuses(rest: str) -> None:
    try:
        once = normalise_url(f"https://h.example/docs/{rest}")
    except AddressRefused:
        return
    assert normalise_url(once) == once
    assert template(once) == template(once)
    assert document_of(website(), once) in ("", once)
    assert not is_trap(once) or not document_of(website("https://h.example/"), once)


@pytest.mark.parametrize("target", ["http://h.example/docs/", "https://h.example/docs/"])
def test_http_and_https_of_a_host_are_one_page_spelled_like_the_target(target: str) -> None:
    pages = {normalise_in_source(website(target), f"{scheme}://h.example/docs/a") for scheme in ("http", "https")}
    assert pages == {f"{target}a"}


def test_another_host_keeps_its_scheme() -> None:
    assert normalise_in_source(website(), "http://other.example/a") == "http://other.example/a"


def test_places_compare_without_slash_and_index_file() -> None:
    pages = (
        "https://h.example/a",
        "http://h.example/a/",
        "https://h.example/a/index.html",
        "https://h.example/a/Default.aspx",
    )
    assert len(set(map(comparison_key, pages))) == 1
    assert comparison_key("https://h.example/a?x=1") != comparison_key("https://h.example/a")
    assert comparison_key("https://h.example/aindex.html") != comparison_key("https://h.example/a")


# --- What is a document -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("link", "document"),
    [
        ("https://docs.example.com/en/models/", True),
        ("http://docs.example.com/en/models/", True),
        ("https://docs.example.com/en/", True),
        ("https://docs.example.com/en/page.html", True),
        ("https://docs.example.com/en/ref.js/", True),
        ("https://docs.example.com/en/a?x=1&y=2&z=3&u=4", True),
        ("https://docs.example.com/en/a?x=1&y=2&z=3&u=4&utm_source=x", True),
        ("https://docs.example.com/en/a?x=1&y=2&z=3&u=4&v=5", False),
        ("https://docs.example.com/fr/models/", False),
        ("https://docs.example.com/english/", False),
        ("https://docs.example.com/", False),
        ("https://docs.example.com/en/../admin/", False),
        ("https://docs.example.com/en/%2e%2e/admin/", False),
        ("https://docs.example.com:8443/en/models/", False),
        ("https://www.docs.example.com/en/models/", False),
        ("https://docs.example.com.evil.example/en/", False),
        ("https://docs.example.com@evil.example/en/", False),
        ("https://docs.example.com/en/logo.PNG", False),
        ("https://docs.example.com/en/docs.zip", False),
        ("https://docs.example.com/en/objects.inv", False),
        ("https://docs.example.com/en/_sources/models.rst.txt", False),
        ("https://docs.example.com/en/genindex.html", False),
        ("https://docs.example.com/en/genindex-A.html", False),
        ("https://docs.example.com/en/py-modindex/", False),
        ("https://docs.example.com/en/topics/genindexing.html", True),
        ("https://docs.example.com/en/topics/search.html", True),
        ("https://docs.example.com/en/" + "a" * 2100, False),
        ("mailto:a@docs.example.com", False),
        ("javascript:alert(1)", False),
        ("https://docs.example.com/en/a b", False),
        ("", False),
    ],
)
def test_it_tells_documents_from_other_links(link: str, document: bool) -> None:
    assert bool(document_of(website("https://docs.example.com/en/index.html"), link)) is document


@pytest.mark.parametrize(
    ("path", "trap"),
    [
        ("a/a/a", False),
        ("a/a/a/a", True),
        ("a/x/a/y/a/z", False),
        ("a/x/a/y/a/z/a", True),
        ("a/b/a/b", False),
        ("a/b/a/b/c/d", False),
        ("a/b/a/b/a/b", True),
        ("start/a/b/c/a/b/c/a/b/c/end", True),
        ("a/b/c/a/b/c", False),
        ("5.2/releases/5.2/", False),
        ("java/util/concurrent/locks/", False),
        ("/".join(map(str, range(31))), True),
        ("?a=1&b=2&c=3&d=4", False),
        ("?a=1&b=2&c=3&d=4&e=5", True),
        ("?" + "&" * 9, True),
        ("", False),
    ],
)
def test_it_sees_paths_and_filters_that_go_on_for_ever(path: str, trap: bool) -> None:
    assert is_trap(f"https://h.example/{path}") is trap


def test_what_repeats_above_the_source_is_the_owners_choice() -> None:
    spec = website("https://h.example/a/a/a/a/")
    assert document_of(spec, "https://h.example/a/a/a/a/guide")
    assert not document_of(spec, "https://h.example/a/a/a/a/b/b/b/b/")


def test_long_hostile_paths_are_judged_fast_enough_to_be_many() -> None:
    for number in range(300):
        assert is_trap("https://h.example/" + "/".join(str(number + n) for n in range(400)))


def test_globs_may_match_the_address_its_path_or_what_lies_below_the_source() -> None:
    for glob in ("https://h.example/docs/api/*", "/docs/api/*", "api/*", "*/api/*"):
        spec = website(include=(glob,))
        assert document_of(spec, "https://h.example/docs/api/a"), glob
        assert not document_of(spec, "https://h.example/docs/guide/a"), glob
        assert not document_of(website(exclude=(glob,)), "https://h.example/docs/api/a"), glob
    assert not document_of(website(include=("*",), exclude=("*?print=*",)), "https://h.example/docs/a?print=1")


def test_a_sitemap_may_name_pages_of_its_whole_host() -> None:
    spec = SourceSpec(kind="sitemap", target="https://h.example/docs/sitemap.xml")
    assert exclusion_reason(spec, "https://h.example/blog/a") == ""
    assert exclusion_reason(spec, "https://other.example/docs/a") == "on another host"


# --- Canonical addresses ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "named", "counts_as"),
    [
        ("a?sort=up", "a", "a"),
        ("a/", "a", "a"),
        ("old/a", "new/a", "new/a"),
        ("a", "http://h.example/docs/a#top", "a"),
        ("a?x=1", "a?utm_source=self", "a"),
        ("index.html", "", "index.html"),
        ("index.html", "https://h.example/docs/", ""),
        ("?lang=en", "https://h.example/docs/", ""),
        # Not believed.
        ("a", "https://h.example/docs/", "a"),
        ("a/b", "https://h.example/docs/index.html", "a/b"),
        ("a", "https://h.example/", "a"),
        ("a", "https://other.example/docs/a", "a"),
        ("a", "https://www.h.example/docs/a", "a"),
        ("a", "https://h.example/blog/a", "a"),
        ("a", "logo.png", "a"),
        ("a", "b/b/b/b/b", "a"),
        ("a", "javascript:void(0)", "a"),
        ("a", "private/a", "a"),
        ("a?page=2", "a", "a?page=2"),
        ("a?page=2", "a?page=1", "a?page=2"),
        ("a?page=2&sort=up", "a?page=2", "a?page=2"),
    ],
)
def test_a_canonical_address_is_believed_within_the_source(url: str, named: str, counts_as: str) -> None:
    root = "https://h.example/docs/"
    named = named if ":" in named or not named else root + named
    spec = website(exclude=("private/*",))
    assert canonical_in_scope(spec, root + url, named) == root + counts_as


def test_the_first_page_of_a_source_may_have_a_name_and_is_still_the_start() -> None:
    spec = website("https://h.example/docs/intro.html")
    assert canonical_in_scope(spec, "https://h.example/docs/a", "https://h.example/docs/intro.html").endswith("/a")
    assert canonical_in_scope(spec, "https://h.example/docs/intro.html?x=1", spec.target) == spec.target


def test_a_list_of_addresses_names_its_documents_itself() -> None:
    spec = SourceSpec(kind="urls", target="/srv/list.txt")
    assert canonical_in_scope(spec, "https://h.example/a", "https://h.example/b") == "https://h.example/a"


# --- Templates ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("/calendar/2024/05/17", "/calendar/{n}/{n}/{n}"),
        ("/calendar/2024-05-17", "/calendar/{n}-{n}-{n}"),
        ("/calendar/2024.05.17", "/calendar/{n}.{n}.{n}"),
        ("/item/123.html", "/item/{n}.html"),
        ("/page12", "/page{n}"),
        ("/commit/9fceb02d0ae598e95dc970b74767f19372d61af8", "/commit/{id}"),
        ("/x/123E4567-e89b-12d3-a456-426614174000/y", "/x/{id}/y"),
        ("/list?page=3", "/list?page={n}"),
        ("/list?colour=red&size=l", "/list?{}"),
        ("/list?size=m&brand=x&brand=y", "/list?{}"),
        ("/login?next=/docs/a", "/login?next={}"),
        ("/login?next=%2Fdocs", "/login?next={}"),
        ("/?20240517", "/?{n}"),
        # Words are not variety.
        ("/en/stable/topics/models/", ""),
        ("/index.php?title=Setup", ""),
        ("/deadbeefcafe/facade", ""),
        ("/", ""),
        # Versions are places.
        ("/en/5.2/topics/", ""),
        ("/v1.0/guide", ""),
        ("/releases/4.2.11.html", ""),
        ("/releases/4.2.x/", ""),
        ("/releases/5.0rc1/", ""),
        ("/2.0-beta.1/a", ""),
    ],
)
def test_a_template_is_the_address_without_what_varies(path: str, form: str) -> None:
    assert template(f"https://h.example{path}") == (f"h.example{form}" if form else "")


def test_templates_of_endless_pages_are_few_and_those_of_a_manual_are_many() -> None:
    calendar = {
        template(f"https://h.example/cal/{y}/{m}/?day={d}") for y in range(9) for m in range(9) for d in range(9)
    }
    manual = [template(f"https://h.example/en/{v}/ref/{name}/") for v in ("4.2", "5.2", "dev") for name in "abcdef"]
    assert len(calendar) == 1
    assert not any(manual)


def test_a_template_fits_its_column() -> None:
    assert len(template("https://h.example/1" + "x" * 1000)) == 300


@pytest.mark.parametrize("suffix", [".pdf", ".docx", ".epub", ".PDF"])
def test_a_file_with_a_reader_is_a_document_where_a_glob_names_its_suffix(suffix: str) -> None:
    link = f"https://h.example/docs/manual{suffix}"
    assert not document_of(website(), link)
    assert not document_of(website(include=("*",)), link)
    assert document_of(website(include=("*", f"*{suffix}")), link)
    assert not document_of(website(include=("*", "*.zip")), "https://h.example/docs/all.zip")
