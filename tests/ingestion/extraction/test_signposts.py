"""Pages that are no documents by their own say: framesets, placeholders of large files, headers for crawlers."""

from __future__ import annotations

import pytest

from ingestion.exceptions import UnsupportedContent
from ingestion.extraction.extract import extract
from ingestion.types import Page

FRAMESET = (
    "<HTML><HEAD><TITLE>API</TITLE></HEAD><FRAMESET cols='20%,80%'><FRAMESET rows='30%,70%'>"
    "<FRAME src='toc.html'><FRAME SRC=list.html></FRAMESET><FRAME src='main.html#top' name=main>"
    "<NOFRAMES><P>Use <A href='plain.html'>this</A>.</P></NOFRAMES></FRAMESET></HTML>"
)


def page(
    body: str | bytes, *, url: str = "https://docs.example/api/", kind: str = "text/html", robots: str = ""
) -> Page:
    return Page(url, body.encode() if isinstance(body, str) else body, kind, robots=frozenset(robots.split()))


def test_a_frameset_names_its_frames_and_has_no_text() -> None:
    found = extract(page(FRAMESET))
    assert found.frames == tuple(f"https://docs.example/api/{name}.html" for name in ("toc", "list", "main"))
    assert (found.title, found.markdown) == ("API", "")


def test_frames_are_relative_to_the_base() -> None:
    found = extract(page("<html><head><base href='/v2/'></head><frameset><frame src=a.html></frameset></html>"))
    assert found.frames == ("https://docs.example/v2/a.html",)


def test_a_frameset_in_a_file_is_one_too() -> None:
    assert extract(page(FRAMESET, url="file:///api/index.html")).frames == ("toc.html", "list.html", "main.html#top")


def test_a_page_with_an_inner_frame_is_a_page() -> None:
    found = extract(page("<body><p>Words</p><iframe src=x.html></iframe>"))
    assert (found.markdown, found.frames) == ("Words", ())


@pytest.mark.parametrize(
    ("robots", "indexable", "links"),
    [("", True, 1), ("noindex", False, 1), ("none", False, 0), ("nofollow noarchive", True, 0), ("noarchive", True, 1)],
)
@pytest.mark.parametrize("kind", ["text/html", "text/markdown"])
def test_what_came_beside_a_page_counts_like_what_it_says_itself(
    kind: str, robots: str, indexable: bool, links: int
) -> None:
    text = "<p>Words <a href='b'>b</a>" if kind == "text/html" else "Words [b](b)"
    found = extract(page(text, kind=kind, robots=robots))
    assert (found.indexable, len(found.links)) == (indexable, links)


POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 132735\n".format("0c" * 32)


@pytest.mark.parametrize(
    "body",
    [
        POINTER,
        POINTER.replace("\n", "\r\n"),
        "\ufeff" + POINTER,
        POINTER.replace("oid", "ext-0-case sha256:11\noid"),
        POINTER.replace("git-lfs.github.com/spec/v1", "hawser.github.com/spec/v1"),
        "/annex/objects/SHA256E-s132735--0c0c.pdf\n",
        "../../.git/annex/objects/xx/yy/SHA256E-s1--0c.md/SHA256E-s1--0c.md",
    ],
)
@pytest.mark.parametrize(
    "kind", ["text/markdown", "text/x-rst", "application/x-ipynb+json", "text/html", "application/pdf"]
)
def test_the_placeholder_of_a_large_file_is_refused_whatever_the_file_was(kind: str, body: str) -> None:
    with pytest.raises(UnsupportedContent, match="placeholder for a large file"):
        extract(page(body, kind=kind))


@pytest.mark.parametrize(
    "body", [f"# Large files\n\nA pointer looks like this:\n\n```\n{POINTER}```\n", POINTER + "\nWords. " * 200]
)
def test_a_page_about_placeholders_is_read(body: str) -> None:
    assert "oid sha256" in extract(page(body, kind="text/markdown")).markdown
