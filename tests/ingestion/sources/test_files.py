from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pytest_django import Settings

from ingestion import media_types
from ingestion.exceptions import (
    AddressRefused,
    FetchFailed,
    PageGone,
    PageRefused,
    SourceError,
    StorageMissing,
    UnsupportedContent,
)
from ingestion.sources.local import files, nofollow
from ingestion.sources.local.nofollow import open_nofollow
from ingestion.types import Listed, SourceSpec

RST = b"======\nModels\n======\n\nA model maps to a table.\n"
NOBODY = 65534


def write(folder: Path, *names: str, body: bytes = b"text") -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)


def spec_of(folder: Path, **options: object) -> SourceSpec:
    return SourceSpec(kind="files", target=str(folder), **options)  # type: ignore[arg-type]


def listed(folder: Path, **options: object) -> list[str]:
    root = f"{folder.as_uri()}/"
    return [one.url.removeprefix(root) for one in files.list_documents(spec_of(folder, **options)).documents]


def versions(folder: Path) -> dict[str, str]:
    root = f"{folder.as_uri()}/"
    return {one.url.removeprefix(root): one.version for one in files.list_documents(spec_of(folder)).documents}


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files just written count as written long ago."""
    monkeypatch.setattr(files, "SETTLED_NS", -(10**12))


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody may enter, unlike pytest's own."""
    path = Path(tempfile.mkdtemp())
    path.chmod(0o755)
    yield path
    for child in path.iterdir():
        child.chmod(0o755)
    shutil.rmtree(path)


@contextmanager
def unprivileged() -> Iterator[None]:
    """Root can read everything."""
    if os.geteuid():
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


# --- Targets ------------------------------------------------------------------------------------------


def test_it_makes_a_path_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "docs/a.md")
    monkeypatch.chdir(tmp_path)
    assert files.normalise("docs/../docs") == str(tmp_path / "docs")
    assert files.normalise((tmp_path / "docs/a.md").as_uri()) == str(tmp_path / "docs/a.md")


@pytest.mark.parametrize(
    "target", ["missing", "missing/a.md", "~no-such-user-here/docs", "a\0b", "loop", "latin-\udce9"]
)
def test_it_says_that_a_path_does_not_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(SourceError, match="check"):
        files.normalise(target)


def test_a_path_that_no_row_can_store_is_refused(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"latin-\xe9")).mkdir()
    with pytest.raises(SourceError, match="no usable path"):
        files.normalise(str(tmp_path / os.fsdecode(b"latin-\xe9")))


def test_it_names_the_accepted_formats_for_a_file_of_another(tmp_path: Path) -> None:
    write(tmp_path, "manual.wpd")
    with pytest.raises(SourceError, match=r"manual\.wpd .* accepted are \.html .*\.md .*\.rst .*\.ipynb \.pdf"):
        files.normalise(str(tmp_path / "manual.wpd"))


def test_a_pipe_is_no_source(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.md")
    with pytest.raises(SourceError):
        files.normalise(str(tmp_path / "a.md"))


# --- Listing ------------------------------------------------------------------------------------------


def test_it_lists_known_formats_in_the_order_of_their_paths(tmp_path: Path) -> None:
    names = ["a.html", "a/z.txt", "b/c/d.rst", "b/e.MD", "c.htm", "d.xhtml", "e.markdown", "f.mdx", "g.ipynb", "h.PDF"]
    names += ["i.adoc", "j.docx", "k.xlsx", "l.epub"]
    write(tmp_path, *reversed(names), "a.png", "b/setup.py", "Makefile", "x.wpd")
    assert listed(tmp_path) == ["a/z.txt", "a.html", *names[2:]]
    assert listed(tmp_path) == listed(tmp_path)


@pytest.mark.parametrize(
    "body",
    [
        b"openapi: 3.0.3\n",
        b"# a licence\n---\ninfo:\n  title: x\nswagger: '2.0'\n",
        b'{"openapi":"3.1.0"}',
        b'{\n  "info": {"title": "x"},\n  "swagger" : "2.0"}',
    ],
)
def test_yaml_and_json_are_documents_if_they_describe_an_interface(tmp_path: Path, body: bytes) -> None:
    write(tmp_path, "a.yaml", "b.json", body=body)
    write(tmp_path, "c.json", body=b'{"name": "package", "about": "openapi"}')
    write(tmp_path, "d.yml", body=b"on: push\n")
    (tmp_path / "e.yaml").symlink_to("a.yaml")
    assert listed(tmp_path) == ["a.yaml", "b.json", "e.yaml"]


@pytest.mark.parametrize(
    ("name", "is_document"),
    [
        ("docs/openapi.yaml", True),
        ("v2/swagger.json", True),
        ("api.oas3.yml", True),
        ("a.md", True),
        ("deck.pptx", True),
        ("package.json", False),
        (".github/ci.yml", False),
        ("soas.yaml", False),
        ("openapi.py", False),
    ],
)
def test_a_file_of_data_that_cannot_be_looked_into_is_told_by_its_name(name: str, is_document: bool) -> None:
    assert media_types.may_be_document(name) is is_document


def test_a_folder_says_that_it_has_named_everything(tmp_path: Path) -> None:
    write(tmp_path, "a.md")
    listing = files.list_documents(spec_of(tmp_path))
    assert (listing.complete, listing.notes) == (True, ())


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
    (tmp_path / "loop.md").symlink_to(tmp_path / "loop.md")
    (tmp_path / "null.md").symlink_to("/dev/null")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket.md"))
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


def test_it_stops_at_the_cap_and_says_so(tmp_path: Path) -> None:
    write(tmp_path, *(f"{number}.md" for number in range(9)))
    assert listed(tmp_path, max_pages=3) == ["0.md", "1.md", "2.md"]
    assert files.list_documents(spec_of(tmp_path, max_pages=8)).notes == (
        "Only the first 8 documents are taken (max_pages).",
    )
    assert files.list_documents(spec_of(tmp_path, max_pages=9)).notes == ()
    assert len(listed(tmp_path, max_pages=0)) == 9


def test_a_single_file_is_its_own_document(tmp_path: Path, settled: None) -> None:
    write(tmp_path, "a.pdf", "b.md", body=b"%PDF-1.7")
    spec = spec_of(tmp_path / "a.pdf")
    listing = files.list_documents(spec)
    (only,) = listing.documents
    assert (only.url, bool(only.version), listing.complete) == ((tmp_path / "a.pdf").as_uri(), True, True)
    assert files.fetch(spec, only.url).body == b"%PDF-1.7"
    with pytest.raises(AddressRefused):
        files.fetch(spec, (tmp_path / "b.md").as_uri())


def test_an_empty_folder_lists_nothing(tmp_path: Path) -> None:
    assert listed(tmp_path) == []


def test_a_missing_folder_is_named_when_it_is_listed(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="does not exist"):
        listed(tmp_path / "missing")


def test_a_folder_that_cannot_be_read_removes_nothing(open_folder: Path) -> None:
    write(open_folder, "a/1.md", "closed/2.md", "z/3.md")
    (open_folder / "closed").chmod(0)
    with unprivileged():
        listing = files.list_documents(spec_of(open_folder))
        assert [Path(one.url).name for one in listing.documents] == ["1.md", "3.md"]
    assert not listing.complete
    assert "closed" in listing.notes[0]
    assert "nothing is removed" in listing.notes[0]


def test_a_folder_that_may_only_be_looked_at_lists_its_files(open_folder: Path) -> None:
    """Names can be read, files cannot: each fails on its own."""
    write(open_folder, "shut/1.md")
    (open_folder / "shut").chmod(0o444)
    spec = spec_of(open_folder)
    with unprivileged():
        found = list(files.list_documents(spec).documents)
        assert found == [Listed((open_folder / "shut/1.md").as_uri())]
        with pytest.raises(PageRefused, match="may not be read"):
            files.fetch(spec, found[0].url)


def test_an_address_too_long_to_store_is_left_out_and_noted(tmp_path: Path) -> None:
    write(tmp_path, "/".join(["ü" * 100] * 4) + "/a.md", "b.md")
    listing = files.list_documents(spec_of(tmp_path))
    assert [one.url for one in listing.documents] == [(tmp_path / "b.md").as_uri()]
    assert listing.complete
    assert "above 2048 characters" in listing.notes[0]


def test_folders_deeper_than_any_path_may_be_are_not_entered(tmp_path: Path) -> None:
    write(tmp_path, "b.md")
    before = Path.cwd()
    os.chdir(tmp_path)
    try:
        for _ in range(30):  # 6 000 bytes in 2 000 characters, which only steps can reach
            Path("深" * 66).mkdir()
            os.chdir("深" * 66)
        Path("deep.md").write_bytes(b"text")
        assert listed(tmp_path) == ["b.md"]
    finally:
        os.chdir(before)
    assert files.list_documents(spec_of(tmp_path)).complete


def test_every_listed_name_can_be_fetched(tmp_path: Path) -> None:
    names = [b"a b.md", b"50%25.md", b"q?x#y.md", "grüße.md".encode(), b"latin-\xe9.md", b"'quote'.md", b"new\nline.md"]
    for name in names:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).write_bytes(name)
    spec = spec_of(tmp_path)
    found = [one.url for one in files.list_documents(spec).documents]
    assert {files.fetch(spec, url).body for url in found} == set(names)
    assert all(url.isascii() for url in found)


@pytest.mark.parametrize("body", [b"a\0b", b"x" * 100])
def test_messages_about_any_name_can_be_stored(tmp_path: Path, settings: Settings, body: bytes) -> None:
    settings.FETCH_MAX_BYTES = 99
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/latin-\xe9.md"))
    path.write_bytes(body)
    with pytest.raises(UnsupportedContent) as caught:
        files.fetch(spec_of(tmp_path), path.as_uri())
    assert str(caught.value).encode()


# --- Versions -----------------------------------------------------------------------------------------


def test_a_version_stays_while_a_file_does(tmp_path: Path, settled: None) -> None:
    write(tmp_path, "a.md", "b.md")
    assert versions(tmp_path) == versions(tmp_path)
    assert all(0 < len(version) <= 200 for version in versions(tmp_path).values())


def test_new_content_of_the_same_size_and_time_has_another_version(tmp_path: Path, settled: None) -> None:
    write(tmp_path, "a.md", body=b"one")
    status, before = (tmp_path / "a.md").stat(), versions(tmp_path)
    write(tmp_path, "a.md", body=b"two")
    os.utime(tmp_path / "a.md", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert (tmp_path / "a.md").stat().st_mtime_ns == status.st_mtime_ns
    assert versions(tmp_path) != before


def test_another_file_in_its_place_has_another_version(tmp_path: Path, settled: None) -> None:
    write(tmp_path, "a.md", "new", body=b"one")
    before = versions(tmp_path)
    (tmp_path / "new").replace(tmp_path / "a.md")
    assert versions(tmp_path) != before


def test_a_link_has_the_version_of_what_it_leads_to(tmp_path: Path, settled: None) -> None:
    write(tmp_path, "a.md")
    (tmp_path / "b.md").symlink_to(tmp_path / "a.md")
    found = versions(tmp_path)
    assert found["a.md"] == found["b.md"]


def test_a_file_just_written_has_no_version_yet(tmp_path: Path) -> None:
    write(tmp_path, "a.md")
    assert versions(tmp_path) == {"a.md": ""}


# --- Reading ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "body", "content_type"),
    [
        ("a.html", b"<p>x", "text/html"),
        ("a.htm", b"<p>x", "text/html"),
        ("a.XHTML", b"<p>x", "text/html"),
        ("a.md", RST, "text/markdown"),
        ("a.markdown", b"x", "text/markdown"),
        ("a.mdx", b"import X from 'x'\n", "text/markdown"),
        ("a.qmd", b"```{r}\nx\n```\n", "text/markdown"),
        ("a.Rmd", b"```{r}\nx\n```\n", "text/markdown"),
        ("a.ipynb", b"{}", "application/x-ipynb+json"),
        ("a.PDF", b"%PDF-1.7\n\0\0", "application/pdf"),
        ("a.pdf", b"junk before\n%PDF-1.7", "application/pdf"),
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
        ("a.adoc", b"= Title", "text/asciidoc"),
        ("a.org", b"* Title", "text/x-org"),
        ("a.rtf", b"{\\rtf1 x}", "application/rtf"),
        ("a.epub", b"PK\x03\x04", "application/epub+zip"),
        ("a.DOCX", b"PK\x03\x04", f"{media_types.OFFICE}.wordprocessingml.document"),
        ("a.pptx", b"PK\x03\x04", f"{media_types.OFFICE}.presentationml.presentation"),
        ("a.xlsx", b"PK\x03\x04", f"{media_types.OFFICE}.spreadsheetml.sheet"),
        ("a.odt", b"PK\x03\x04", "application/vnd.oasis.opendocument.text"),
        ("a.yml", b"openapi: 3.1.0", "application/yaml"),
        ("a.json", b"{}", "application/json"),
    ],
)
def test_it_tells_the_format_of_a_file(tmp_path: Path, name: str, body: bytes, content_type: str) -> None:
    write(tmp_path, name, body=body)
    page = files.fetch(spec_of(tmp_path), (tmp_path / name).as_uri())
    assert (page.content_type, page.body, page.charset) == (content_type, body, "")


@pytest.mark.parametrize("body", [b"%PDF-1.4", b"a\0b", b"PK\x03\x04"])
def test_a_binary_file_is_not_indexed(tmp_path: Path, body: bytes) -> None:
    write(tmp_path, "a.txt", body=body)
    with pytest.raises(UnsupportedContent, match=r"a\.txt is a binary file"):
        files.fetch(spec_of(tmp_path), (tmp_path / "a.txt").as_uri())


def test_a_file_that_only_its_name_makes_a_pdf_is_not_indexed(tmp_path: Path) -> None:
    write(tmp_path, "a.pdf", body=b"<html>Not found")
    with pytest.raises(UnsupportedContent, match=r"a\.pdf is no PDF"):
        files.fetch(spec_of(tmp_path), (tmp_path / "a.pdf").as_uri())


def test_a_file_above_the_cap_is_not_indexed(tmp_path: Path, settings: Settings) -> None:
    settings.FETCH_MAX_BYTES = 4
    write(tmp_path, "fits.md", body=b"four")
    write(tmp_path, "not.md", body=b"fives")
    assert files.fetch(spec_of(tmp_path), (tmp_path / "fits.md").as_uri()).body == b"four"
    with pytest.raises(UnsupportedContent, match="larger than 4 bytes"):
        files.fetch(spec_of(tmp_path), (tmp_path / "not.md").as_uri())


@pytest.mark.parametrize("path", ["../secret.md", "%2e%2e/secret.md", "a/../../secret.md", "link.md", "sub/secret.md"])
def test_it_reads_nothing_outside_the_folder(tmp_path: Path, path: str) -> None:
    write(tmp_path, "secret.md", "docs/a/b.md")
    (tmp_path / "docs/link.md").symlink_to(tmp_path / "secret.md")
    (tmp_path / "docs/sub").symlink_to(tmp_path)
    with pytest.raises(AddressRefused, match="outside"):
        files.fetch(spec_of(tmp_path / "docs"), f"{(tmp_path / 'docs').as_uri()}/{path}")


@pytest.mark.parametrize("url", ["/docs/a.md", "http://127.0.0.1/a.md", "file:///%00.md"])
def test_an_address_that_is_no_file_of_it_is_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(AddressRefused):
        files.fetch(spec_of(tmp_path), url)


def test_a_bare_path_is_no_address(tmp_path: Path) -> None:
    write(tmp_path, "a.md")
    with pytest.raises(AddressRefused):
        files.fetch(spec_of(tmp_path), str(tmp_path / "a.md"))


def test_a_folder_with_a_longer_name_is_outside(tmp_path: Path) -> None:
    write(tmp_path, "docs/a.md", "docs-private/a.md")
    with pytest.raises(AddressRefused):
        files.fetch(spec_of(tmp_path / "docs"), (tmp_path / "docs-private/a.md").as_uri())


def test_a_file_of_unknown_format_is_refused_when_asked_for(tmp_path: Path) -> None:
    write(tmp_path, "id_rsa")
    with pytest.raises(UnsupportedContent, match="accepted are"):
        files.fetch(spec_of(tmp_path), (tmp_path / "id_rsa").as_uri())


def test_a_deleted_file_is_gone(tmp_path: Path) -> None:
    with pytest.raises(PageGone, match=r"a\.md"):
        files.fetch(spec_of(tmp_path), (tmp_path / "a.md").as_uri())


def test_a_file_that_has_become_a_pipe_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.md")
    with pytest.raises(PageGone, match="no regular file"):
        files.fetch(spec_of(tmp_path), (tmp_path / "a.md").as_uri())


def test_a_pipe_put_in_place_in_the_last_moment_does_not_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "a.md")
    monkeypatch.setattr(Path, "is_file", lambda self: True)
    with pytest.raises(FetchFailed, match="something else"):
        files.fetch(spec_of(tmp_path), (tmp_path / "a.md").as_uri())


def test_a_link_put_in_place_in_the_last_moment_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "secret")
    (tmp_path / "a.md").symlink_to(tmp_path / "secret")
    monkeypatch.setattr(os.path, "realpath", lambda path: path)
    with pytest.raises(FetchFailed, match="cannot be read"):
        files.fetch(spec_of(tmp_path), (tmp_path / "a.md").as_uri())


def replace_by_link(path: Path, target: Path) -> None:
    path.rename(path.with_name(f".old-{path.name}"))
    path.symlink_to(target)


@pytest.fixture
def trap(tmp_path: Path) -> Path:
    """above/docs/part/a.md, and beside it the same names with a secret in them."""
    write(tmp_path, "above/docs/part/a.md")
    write(tmp_path, "elsewhere/docs/part/a.md", body=b"secret")
    return tmp_path


def twin_of(trap: Path, path: Path) -> Path:
    return trap / "elsewhere" / path.relative_to(trap / "above")


@pytest.mark.parametrize("swapped", ["", "docs", "docs/part", "docs/part/a.md"])
def test_a_link_put_in_place_after_a_source_was_saved_is_not_followed(trap: Path, swapped: str) -> None:
    spec, path = spec_of(trap / "above/docs"), trap / "above/docs/part/a.md"
    replace_by_link(trap / "above" / swapped, twin_of(trap, trap / "above" / swapped))
    with pytest.raises((AddressRefused, SourceError), match=r"leads to|outside"):
        files.fetch(spec, path.as_uri())
    if "part" in swapped:
        assert list(files.list_documents(spec).documents) == []
    else:
        with pytest.raises(SourceError, match=r"leads to .* by now"):
            files.list_documents(spec)


@pytest.mark.parametrize("swapped", ["", "docs", "docs/part", "docs/part/a.md"])
def test_a_link_put_in_place_between_judging_and_opening_is_not_followed(
    trap: Path, swapped: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, path = spec_of(trap / "above/docs"), trap / "above/docs/part/a.md"

    def swap_first(path: Path, flags: int = os.O_RDONLY) -> int:
        replace_by_link(trap / "above" / swapped, twin_of(trap, trap / "above" / swapped))
        return open_nofollow(path, flags)

    monkeypatch.setattr(files, "open_nofollow", swap_first)
    with pytest.raises(FetchFailed, match=r"a\.md cannot be read"):
        files.fetch(spec, path.as_uri())


@pytest.mark.parametrize("swapped", ["docs", "docs/part"])
def test_a_link_put_in_place_while_a_folder_is_listed_is_not_entered(
    trap: Path, swapped: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, place = spec_of(trap / "above/docs"), trap / "above" / swapped

    def swap_first(path: Path, flags: int = os.O_RDONLY) -> int:
        if path == place and not place.is_symlink():
            replace_by_link(place, twin_of(trap, place))
        return open_nofollow(path, flags)

    monkeypatch.setattr(files, "open_nofollow", swap_first)
    listing = files.list_documents(spec)
    assert (list(listing.documents), listing.complete) == ([], False)


def test_a_file_as_a_source_that_has_become_a_link_is_not_read(tmp_path: Path) -> None:
    write(tmp_path, "a.md", "secret.md")
    replace_by_link(tmp_path / "a.md", tmp_path / "secret.md")
    with pytest.raises(SourceError, match=r"leads to .*secret\.md by now"):
        files.fetch(spec_of(tmp_path / "a.md"), (tmp_path / "a.md").as_uri())
    with pytest.raises(SourceError, match="leads to"):
        files.list_documents(spec_of(tmp_path / "a.md"))


def test_folders_that_may_be_entered_and_not_listed_do_not_hide_a_file(open_folder: Path) -> None:
    write(open_folder, "closed/docs/a.md")
    (open_folder / "closed").chmod(0o711)
    with unprivileged():
        assert listed(open_folder / "closed/docs") == ["a.md"]
        assert files.fetch(spec_of(open_folder / "closed/docs"), (open_folder / "closed/docs/a.md").as_uri()).body


def test_where_the_system_refuses_links_by_a_flag_that_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(nofollow, "NOFOLLOW_ANY", 1 << 29)

    def noted(path: object, flags: int) -> int:
        asked.append(flags)
        return 0

    monkeypatch.setattr(os, "open", noted)
    nofollow.open_nofollow(tmp_path / "a.md", os.O_NONBLOCK)
    assert asked == [os.O_NONBLOCK | 1 << 29]


def test_a_vanished_folder_does_not_make_its_files_gone(tmp_path: Path) -> None:
    with pytest.raises(StorageMissing, match="mount it or delete the source"):
        files.fetch(spec_of(tmp_path / "disk"), (tmp_path / "disk/a.md").as_uri())


def test_a_file_that_may_not_be_read_is_named(open_folder: Path) -> None:
    write(open_folder, "a.md", "b.md")
    (open_folder / "a.md").chmod(0)
    with unprivileged():
        with pytest.raises(PageRefused, match=r"a\.md may not be read"):
            files.fetch(spec_of(open_folder), (open_folder / "a.md").as_uri())
        assert files.fetch(spec_of(open_folder), (open_folder / "b.md").as_uri()).body == b"text"


@pytest.mark.parametrize("content", [b"longer than before", b"x", b"four"])
def test_a_file_written_while_it_is_read_is_read_again_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    write(tmp_path, "a.md", body=b"text")
    really = os.fstat
    looked: list[int] = []

    def look_then_write(descriptor: int) -> os.stat_result:
        status = really(descriptor)
        looked.append(descriptor)
        if len(looked) == 2:  # the first look is whether it is a file at all
            (tmp_path / "a.md").write_bytes(content)
            os.utime(tmp_path / "a.md", (1, 1))
        return status

    monkeypatch.setattr(os, "fstat", look_then_write)
    with pytest.raises(FetchFailed, match="written while it was read"):
        files.fetch(spec_of(tmp_path), (tmp_path / "a.md").as_uri())


def test_files_lead_to_nothing_by_their_links(tmp_path: Path) -> None:
    assert files.follow(spec_of(tmp_path), "file:///a.md", ["https://example.com/", "file:///b.md"]) == []
