"""What a document is read as: the declared type, the suffix and the look together."""

from __future__ import annotations

import time

import pytest

from ingestion.media_types import by_look, by_name

MARKDOWN = b"# Title\n\nWords with a [link](a.md).\n"
NOTEBOOK = b'{"cells": [{"cell_type": "markdown", "source": ["# Title"]}], "nbformat": 4}'
RST = b"Title\n=====\n\n.. note::\n\n   Words.\n"
HTML = b"<!-- saved -->\n<!DOCTYPE html><html><body><p>Words</p></body></html>"


def told(name: str, declared: str, body: bytes) -> str:
    address = f"https://docs.example/{name}"
    return by_look(address, by_name(address, declared), body)


@pytest.mark.parametrize(
    "declared", ["", "text/plain", "application/octet-stream", "binary/octet-stream", "text/html", "text/x-markdown"]
)
@pytest.mark.parametrize("name", ["guide.md", "guide.MARKDOWN", "intro.mdx", "a%20b.md?raw=1"])
def test_markdown_is_told_by_its_suffix_whatever_the_server_says(declared: str, name: str) -> None:
    assert told(name, declared, MARKDOWN) == "text/markdown"


@pytest.mark.parametrize("declared", ["application/json", "text/plain", "application/octet-stream", "text/html", ""])
def test_a_notebook_is_told_by_its_suffix(declared: str) -> None:
    assert told("run.ipynb", declared, NOTEBOOK) == "application/x-ipynb+json"


@pytest.mark.parametrize(
    ("name", "declared", "body", "expected"),
    [
        ("run.ipynb", "application/x-ipynb+json", NOTEBOOK, "application/x-ipynb+json"),
        ("raw", "text/plain", NOTEBOOK, "application/x-ipynb+json"),
        ("raw", "application/json", NOTEBOOK, "application/json"),
        ("data.json", "application/json", b"{}", "application/json"),
        ("guide.rst", "text/plain", RST, "text/x-rst"),
        ("guide.rst", "text/prs.fallenstein.rst", RST, "text/x-rst"),
        ("topics.txt", "text/plain", RST, "text/x-rst"),
        ("index.rst.txt", "text/plain", b"Words.", "text/x-rst"),
        ("llms/guide.md.txt", "text/plain", MARKDOWN, "text/markdown"),
        ("README", "text/plain", MARKDOWN, "text/markdown"),
        ("README", "", b"\xef\xbb\xbf" + MARKDOWN, "text/markdown"),
        ("hosts.conf", "text/plain", b"# The hosts\n127.0.0.1 here\n", "text/plain"),
        ("run.sh", "text/plain", b"#!/bin/sh\n# Words\n", "text/plain"),
        ("notes.txt", "text/plain", b"Words and words.", "text/plain"),
        ("page", "", HTML, "text/html"),
        ("page", "text/plain", HTML, "text/html"),
        ("page", "", b"\xef\xbb\xbf" + b"\n" * 5000 + b"<?xml version='1.0'?>\n" + HTML, "text/html"),
        ("page.html", "application/octet-stream", HTML, "text/html"),
        ("blob/guide.md", "text/html", HTML, "text/html"),
        ("guide.md", "text/plain", HTML, "text/html"),
        ("guide.md", "text/plain", b"<script setup>\n</script>\n\n# Title", "text/markdown"),
        ("guide.md", "text/html", b"<h1 align=center>Title</h1>\n\nWords", "text/markdown"),
        ("page.html", "text/html", b"# no tag", "text/html"),
        ("setup.exe", "application/octet-stream", b"MZ", "application/octet-stream"),
        ("guide.md", "application/pdf", b"%PDF-1.7", "application/pdf"),
        ("paper.pdf", "application/octet-stream", b"%PDF-1.7", "application/pdf"),
    ],
)
def test_a_generic_type_gives_way_to_the_suffix_and_the_look(
    name: str, declared: str, body: bytes, expected: str
) -> None:
    assert told(name, declared, body) == expected


@pytest.mark.parametrize(
    "piece", [b" ", b"<!-- -", b"<?x ", b"<!-->", b"# ", b"a\n==\n", b".. a", b'{"', b"](", b"\n#"]
)
def test_a_hostile_text_takes_no_time(piece: bytes) -> None:
    start = time.process_time()
    by_look("https://docs.example/a", "text/plain", piece * (10_000_000 // len(piece)))
    assert time.process_time() - start < 1
