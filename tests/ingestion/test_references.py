"""References are read as browsers read them, so that a page behind a careless link is found."""

from __future__ import annotations

import pytest

from ingestion.extraction.links import absolute
from ingestion.fetching.fetcher import _target
from ingestion.references import resolved
from ingestion.sources.web.url_scope import resolve_link

BASE = "https://docs.example.com/en/index.html"


@pytest.mark.parametrize(
    ("reference", "path"),
    [
        ("my page.html", "en/my%20page.html"),
        (" a\tb\n.html ", "en/ab.html"),
        ("topics\\forms.html", "en/topics/forms.html"),
        ("\\start", "start"),
        ("find?q=a\\b c", "en/find?q=a\\b%20c"),
        ("../fr/#a\\b", "fr/#a\\b"),
        ("", "en/index.html"),
    ],
)
def test_a_reference_leads_where_browsers_go(reference: str, path: str) -> None:
    assert resolved(BASE, reference) == f"https://docs.example.com/{path}"
    assert resolve_link(BASE, reference) == resolved(BASE, reference)


def test_links_sitemaps_and_redirects_are_read_alike() -> None:
    assert absolute(BASE, ["a b.html", "a%20b.html#c"]) == ("https://docs.example.com/en/a%20b.html",)
    assert _target(BASE, "/a b\\c") == "https://docs.example.com/a%20b/c"
    with pytest.raises(ValueError, match="IPv6"):
        resolved(BASE, "http://[x/")
