from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_django import Settings

from ingestion import connections, politeness, sources
from ingestion.exceptions import (
    AddressRefused,
    FetchFailed,
    PageGone,
    PageRefused,
    SourceError,
    UnsupportedContent,
)
from ingestion.types import SourceSpec
from tests.local_site import LocalSite

RST = b"======\nModels\n======\n\nA model maps to a table.\n"


@pytest.fixture(autouse=True)
def clean(settings: Settings) -> Iterator[None]:
    settings.FETCH_PRIVATE_NETWORKS = ["127.0.0.1/32"]
    politeness.forget()
    yield
    politeness.forget()
    connections.session().close()


@pytest.fixture
def site() -> Iterator[LocalSite]:
    with LocalSite() as site:
        yield site


def write(folder: Path, *names: str, body: bytes = b"text") -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)


def folder_spec(folder: Path, **options: object) -> SourceSpec:
    return SourceSpec(kind="files", target=str(folder), **options)  # type: ignore[arg-type]


def listed(folder: Path, **options: object) -> list[str]:
    root = f"{folder.as_uri()}/"
    return [url.removeprefix(root) for url in sources.list_documents(folder_spec(folder, **options))]


def website_spec(target: str, **options: object) -> SourceSpec:
    return SourceSpec(kind="website", target=target, **options)  # type: ignore[arg-type]


# --- Kinds --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "kind"),
    [
        ("https://docs.example.com/", "website"),
        ("HTTP://docs.example.com", "website"),
        ("  https://docs.example.com/  ", "website"),
        ("/srv/docs", "files"),
        ("docs", "files"),
        ("docs/a.md", "files"),
        ("~/docs", "files"),
        ("file:///srv/docs", "files"),
        ("C:\\docs", "files"),
    ],
)
def test_it_tells_the_kind_from_how_a_target_is_written(target: str, kind: str) -> None:
    assert sources.detect_kind(target) == kind


@pytest.mark.parametrize("target", ["", "  ", "ftp://example.com/", "github:django/django", "s3://bucket/docs"])
def test_it_says_what_it_accepts_when_a_target_is_of_no_kind(target: str) -> None:
    with pytest.raises(SourceError, match="give a folder, a file, or the first page of a website"):
        sources.detect_kind(target)


def test_an_existing_folder_counts_however_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes:old").mkdir()
    assert sources.detect_kind("notes:old") == "files"


def test_it_names_the_kinds_when_it_knows_no_such_kind() -> None:
    with pytest.raises(SourceError, match="files, website"):
        sources.list_documents(SourceSpec(kind="carrier-pigeon", target="x"))


# --- Folders and files --------------------------------------------------------------------------------


def test_it_makes_a_path_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "docs/a.md")
    monkeypatch.chdir(tmp_path)
    assert sources.normalise("files", " docs/../docs ") == str(tmp_path / "docs")
    assert sources.normalise("files", (tmp_path / "docs/a.md").as_uri()) == str(tmp_path / "docs/a.md")


@pytest.mark.parametrize("target", ["missing", "missing/a.md", "~no-such-user-here/docs", "a\0b", "loop"])
def test_it_says_that_a_path_does_not_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(SourceError, match="check"):
        sources.normalise("files", target)


def test_it_names_the_accepted_formats_for_a_file_of_another(tmp_path: Path) -> None:
    write(tmp_path, "manual.docx")
    with pytest.raises(SourceError, match=r"manual\.docx .* accepted are \.html .*\.md .*\.rst"):
        sources.normalise("files", str(tmp_path / "manual.docx"))


def test_a_pipe_is_no_source(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.md")
    with pytest.raises(SourceError):
        sources.normalise("files", str(tmp_path / "a.md"))


def test_it_lists_known_formats_in_the_order_of_their_paths(tmp_path: Path) -> None:
    names = ["a.html", "a/z.txt", "b/c/d.rst", "b/e.MD", "c.htm", "d.xhtml", "e.markdown"]
    write(tmp_path, *reversed(names), "a.png", "b/setup.py", "Makefile", "x.pdf")
    assert listed(tmp_path) == ["a/z.txt", "a.html", *names[2:]]
    assert listed(tmp_path) == listed(tmp_path)


def test_it_passes_over_hidden_files_and_folders(tmp_path: Path) -> None:
    write(tmp_path, ".git/a.md", "a/.cache/b.md", ".c.md", "d.md")
    assert listed(tmp_path) == ["d.md"]


def test_a_hidden_folder_named_as_the_target_is_read(tmp_path: Path) -> None:
    write(tmp_path, ".docs/a.md")
    assert listed(tmp_path / ".docs") == ["a.md"]


def test_it_passes_over_what_is_no_regular_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.md")
    (tmp_path / "folder.md").mkdir()
    (tmp_path / "broken.md").symlink_to(tmp_path / "missing.md")
    assert listed(tmp_path) == []


def test_it_does_not_follow_links_out_of_the_folder(tmp_path: Path) -> None:
    write(tmp_path, "outside/secret.md", "docs/a.md")
    (tmp_path / "docs/file.md").symlink_to(tmp_path / "outside/secret.md")
    (tmp_path / "docs/folder").symlink_to(tmp_path / "outside")
    (tmp_path / "docs/alias.md").symlink_to(tmp_path / "docs/a.md")
    assert listed(tmp_path / "docs") == ["a.md", "alias.md"]


def test_it_does_not_walk_in_circles(tmp_path: Path) -> None:
    write(tmp_path, "a/b.md")
    (tmp_path / "a/up").symlink_to(tmp_path)
    assert listed(tmp_path) == ["a/b.md"]


@pytest.mark.parametrize(
    ("include", "exclude", "found"),
    [
        ((), (), ["a/b/x.md", "a/x.md", "x.md", "x.txt"]),
        (("*.md",), (), ["a/b/x.md", "a/x.md", "x.md"]),
        (("a/*",), (), ["a/b/x.md", "a/x.md"]),
        (("a/**/*.md",), (), ["a/b/x.md", "a/x.md"]),
        (("**/x.md",), (), ["a/b/x.md", "a/x.md", "x.md"]),
        ((), ("a/*",), ["x.md", "x.txt"]),
        (("*.md",), ("a/b/*",), ["a/x.md", "x.md"]),
        (("x.txt", "a/x.md"), (), ["a/x.md", "x.txt"]),
        (("*.MD",), (), []),
    ],
)
def test_globs_choose_by_the_path_within_the_folder(
    tmp_path: Path, include: tuple[str, ...], exclude: tuple[str, ...], found: list[str]
) -> None:
    write(tmp_path, "x.md", "x.txt", "a/x.md", "a/b/x.md")
    assert listed(tmp_path, include=include, exclude=exclude) == found


def test_it_stops_at_the_cap(tmp_path: Path) -> None:
    write(tmp_path, *(f"{number}.md" for number in range(9)))
    assert listed(tmp_path, max_pages=3) == ["0.md", "1.md", "2.md"]
    assert len(listed(tmp_path, max_pages=0)) == 9


def test_it_lists_without_looking_at_the_whole_tree_first(tmp_path: Path) -> None:
    write(tmp_path, "a/1.md", "b/2.md")
    documents = sources.list_documents(folder_spec(tmp_path))
    assert next(documents).endswith("/a/1.md")
    write(tmp_path, "b/3.md")
    assert len(list(documents)) == 2


def test_a_single_file_is_its_own_document(tmp_path: Path) -> None:
    write(tmp_path, "a.md", "b.md")
    spec = folder_spec(tmp_path / "a.md")
    assert list(sources.list_documents(spec)) == [(tmp_path / "a.md").as_uri()]
    assert sources.fetch(spec, (tmp_path / "a.md").as_uri()).body == b"text"
    with pytest.raises(AddressRefused):
        sources.fetch(spec, (tmp_path / "b.md").as_uri())


def test_an_empty_folder_lists_nothing(tmp_path: Path) -> None:
    assert listed(tmp_path) == []


def test_a_missing_folder_is_named_when_it_is_listed(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="does not exist"):
        listed(tmp_path / "missing")


def test_a_name_too_long_to_store_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(tmp_path, "/".join(["ü" * 100] * 4) + "/a.md", "b.md")
    assert listed(tmp_path) == ["b.md"]
    assert "left out" in caplog.text


def test_every_listed_name_can_be_fetched(tmp_path: Path) -> None:
    names = [b"a b.md", b"50%25.md", b"q?x#y.md", "grüße.md".encode(), b"latin-\xe9.md", b"'quote'.md"]
    for name in names:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).write_bytes(name)
    spec = folder_spec(tmp_path)
    assert {sources.fetch(spec, url).body for url in sources.list_documents(spec)} == set(names)


@pytest.mark.parametrize(
    ("name", "body", "content_type"),
    [
        ("a.html", b"<p>x", "text/html"),
        ("a.htm", b"<p>x", "text/html"),
        ("a.XHTML", b"<p>x", "text/html"),
        ("a.md", RST, "text/markdown"),
        ("a.markdown", b"x", "text/markdown"),
        ("a.rst", b"x", "text/x-rst"),
        ("a.txt", RST, "text/x-rst"),
        ("a.txt", RST.replace(b"\n", b"\r\n"), "text/x-rst"),
        ("a.txt", b"Intro\n\nTitle\n-----\n\ntext", "text/x-rst"),
        ("a.txt", b"Some text.\n\n.. note:: Careful.\n", "text/x-rst"),
        ("a.txt", b".. _topics-db:\n\nText.\n", "text/x-rst"),
        ("a.txt", b"Plain words.\n- and a list\n...\n", "text/plain"),
        ("a.txt", b"a -- b\n\n--\nsignature", "text/plain"),
        ("a.txt", b"x" * 5_000_000, "text/plain"),
        ("a.txt", b"", "text/plain"),
    ],
)
def test_it_tells_the_format_of_a_file(tmp_path: Path, name: str, body: bytes, content_type: str) -> None:
    write(tmp_path, name, body=body)
    page = sources.fetch(folder_spec(tmp_path), (tmp_path / name).as_uri())
    assert (page.content_type, page.body, page.charset) == (content_type, body, "")


@pytest.mark.parametrize("body", [b"%PDF-1.4", b"a\0b", b"PK\x03\x04"])
def test_a_binary_file_is_not_indexed(tmp_path: Path, body: bytes) -> None:
    write(tmp_path, "a.txt", body=body)
    with pytest.raises(UnsupportedContent, match=r"a\.txt is a binary file"):
        sources.fetch(folder_spec(tmp_path), (tmp_path / "a.txt").as_uri())


def test_a_file_above_the_cap_is_not_indexed(tmp_path: Path, settings: Settings) -> None:
    settings.FETCH_MAX_BYTES = 4
    write(tmp_path, "fits.md", body=b"four")
    write(tmp_path, "not.md", body=b"fives")
    assert sources.fetch(folder_spec(tmp_path), (tmp_path / "fits.md").as_uri()).body == b"four"
    with pytest.raises(UnsupportedContent, match="larger than 4 bytes"):
        sources.fetch(folder_spec(tmp_path), (tmp_path / "not.md").as_uri())


@pytest.mark.parametrize("path", ["../secret.md", "%2e%2e/secret.md", "a/../../secret.md", "link.md", "sub/secret.md"])
def test_it_reads_nothing_outside_the_folder(tmp_path: Path, path: str) -> None:
    write(tmp_path, "secret.md", "docs/a/b.md")
    (tmp_path / "docs/link.md").symlink_to(tmp_path / "secret.md")
    (tmp_path / "docs/sub").symlink_to(tmp_path)
    with pytest.raises(AddressRefused, match="outside"):
        sources.fetch(folder_spec(tmp_path / "docs"), f"{(tmp_path / 'docs').as_uri()}/{path}")


def test_a_folder_with_a_longer_name_is_outside(tmp_path: Path) -> None:
    write(tmp_path, "docs/a.md", "docs-private/a.md")
    with pytest.raises(AddressRefused):
        sources.fetch(folder_spec(tmp_path / "docs"), (tmp_path / "docs-private/a.md").as_uri())


def test_a_file_of_unknown_format_is_refused_when_asked_for(tmp_path: Path) -> None:
    write(tmp_path, "id_rsa")
    with pytest.raises(UnsupportedContent, match="accepted are"):
        sources.fetch(folder_spec(tmp_path), (tmp_path / "id_rsa").as_uri())


def test_a_deleted_file_is_gone(tmp_path: Path) -> None:
    with pytest.raises(PageGone, match=r"a\.md"):
        sources.fetch(folder_spec(tmp_path), (tmp_path / "a.md").as_uri())


def test_a_vanished_folder_does_not_make_its_files_gone(tmp_path: Path) -> None:
    with pytest.raises(FetchFailed, match="mount it or delete the source"):
        sources.fetch(folder_spec(tmp_path / "disk"), (tmp_path / "disk/a.md").as_uri())


def test_a_file_that_may_not_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def deny(self: Path, mode: str) -> None:
        raise PermissionError(13, "Permission denied")

    write(tmp_path, "a.md")
    monkeypatch.setattr(Path, "open", deny)  # root, who may run this, can read everything
    with pytest.raises(PageRefused, match=r"a\.md may not be read"):
        sources.fetch(folder_spec(tmp_path), (tmp_path / "a.md").as_uri())


def test_files_lead_to_nothing_by_their_links(tmp_path: Path) -> None:
    assert sources.follow(folder_spec(tmp_path), "file:///a.md", ["https://example.com/", "file:///b.md"]) == []


# --- Websites -----------------------------------------------------------------------------------------


def test_a_website_is_written_in_one_way_and_starts_with_its_first_page() -> None:
    target = sources.normalise("website", " HTTPS://Docs.Example.com:443/en/5.2#top ")
    assert target == "https://docs.example.com/en/5.2"
    assert list(sources.list_documents(website_spec(target))) == [target]


def test_a_website_that_is_no_web_address_is_refused() -> None:
    with pytest.raises(AddressRefused):
        sources.normalise("website", "https://user:pw@docs.example.com/")


@pytest.mark.parametrize(
    ("link", "followed"),
    [
        ("https://docs.example.com/en/models/", True),
        ("http://docs.example.com/en/models/", True),
        ("https://docs.example.com/en/", True),
        ("https://docs.example.com/en/page.html", True),
        ("https://docs.example.com/en/ref.js/", True),
        ("https://docs.example.com/en/a?x=1&y=2&z=3&u=4", True),
        ("https://docs.example.com/en/a?x=1&y=2&z=3&u=4&v=5", False),
        ("https://docs.example.com/fr/models/", False),
        ("https://docs.example.com/english/", False),
        ("https://docs.example.com/", False),
        ("https://docs.example.com/en/../admin/", False),
        ("https://docs.example.com/en/%2e%2e/admin/", False),
        ("https://docs.example.com:8443/en/models/", False),
        ("https://www.example.com/en/models/", False),
        ("https://docs.example.com.evil.example/en/", False),
        ("https://docs.example.com@evil.example/en/", False),
        ("https://docs.example.com/en/logo.PNG", False),
        ("https://docs.example.com/en/docs.zip", False),
        ("https://docs.example.com/en/" + "a" * 2100, False),
        ("mailto:a@docs.example.com", False),
        ("javascript:alert(1)", False),
        ("https://docs.example.com/en/a b", False),
    ],
)
def test_it_follows_links_within_the_scope(link: str, followed: bool) -> None:
    spec = website_spec("https://docs.example.com/en/index.html")
    assert bool(sources.follow(spec, "https://docs.example.com/en/index.html", [link])) is followed


def test_it_follows_each_address_once_and_not_back_to_the_page() -> None:
    links = [
        "https://h.example/b#one",
        "https://H.example:443/b#two",
        "https://h.example/a#self",
        "https://h.example/c",
        "https://h.example/b",
    ]
    found = sources.follow(website_spec("https://h.example/"), "https://h.example/a", links)
    assert found == ["https://h.example/b", "https://h.example/c"]


def test_globs_choose_by_the_whole_address() -> None:
    spec = website_spec("https://h.example/", include=("*/docs/*",), exclude=("*/docs/old/*", "*?print=*"))
    links = [f"https://h.example/{path}" for path in ("docs/a", "docs/old/b", "blog/c", "docs/d?print=1")]
    assert sources.follow(spec, "https://h.example/", links) == ["https://h.example/docs/a"]


def test_it_fetches_what_robots_txt_allows(site: LocalSite) -> None:
    site.page("/robots.txt", b"User-agent: *\nDisallow: /closed/", Content_Type="text/plain")
    url = site.page("/open", b"<p>hello")
    site.page("/closed/a", b"<p>secret")
    spec = website_spec(site.url("/"))
    assert sources.fetch(spec, url).body == b"<p>hello"
    with pytest.raises(AddressRefused, match="robots.txt forbids"):
        sources.fetch(spec, site.url("/closed/a"))
    assert site.paths == ["/robots.txt", "/open"]


def test_a_redirect_is_held_to_robots_txt(site: LocalSite) -> None:
    site.page("/robots.txt", b"User-agent: *\nDisallow: /closed/")
    site.page("/open", status=302, Location="/closed/a")
    site.page("/closed/a", b"<p>secret")
    with pytest.raises(AddressRefused, match="robots.txt forbids"):
        sources.fetch(website_spec(site.url("/")), site.url("/open"))
    assert "/closed/a" not in site.paths


def test_a_redirect_out_of_the_scope_says_where_it_leads(site: LocalSite) -> None:
    site.page("/docs/", status=301, Location="/manual/")
    spec = website_spec(site.url("/docs/"))
    with pytest.raises(AddressRefused, match=r"/manual/ lies outside .*/docs/; .* make it the target"):
        sources.fetch(spec, site.url("/docs/"))


def test_it_fetches_nothing_outside_the_scope(site: LocalSite) -> None:
    site.page("/other", b"<p>x")
    with pytest.raises(AddressRefused, match="lies outside"):
        sources.fetch(website_spec(site.url("/docs/")), site.url("/other"))
    assert site.seen == []


def test_a_site_in_trouble_is_asked_later(site: LocalSite) -> None:
    site.page("/robots.txt", status=503, Retry_After="120")
    site.page("/a", b"<p>x")
    with pytest.raises(FetchFailed):
        sources.fetch(website_spec(site.url("/")), site.url("/a"))
    assert site.paths == ["/robots.txt"]
