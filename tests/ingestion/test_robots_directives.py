"""Directives for crawlers: which of them are for us."""

from __future__ import annotations

import pytest
from pytest_django import Settings

from ingestion.robots_directives import of_header, of_meta


@pytest.fixture(autouse=True)
def our_name(settings: Settings) -> None:
    settings.USER_AGENT = "OurBot/2.0 (+mail)"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("noindex", {"noindex"}),
        ("NOINDEX, NoFollow", {"noindex", "nofollow"}),
        ("none", {"none"}),
        ("googlebot: noindex", set()),
        ("googlebot: noindex, nofollow", set()),
        ("ourbot: noindex, nofollow", {"noindex", "nofollow"}),
        ("OurBot : nofollow", {"nofollow"}),
        ("nofollow, googlebot: noindex", {"nofollow"}),
        ("otherbot: noindex, ourbot: nofollow", {"nofollow"}),
        ("*: noindex", {"noindex"}),
        ("max-snippet:50, noindex", {"noindex"}),
        ("max-image-preview: none, max-video-preview:-1", set()),
        ("otherbot: max-image-preview:none, noindex", set()),
        ("unavailable_after: 25 Jun 2010 15:00:00 GMT, noindex", {"noindex"}),
        ("unavailable_after: Friday, 25-Jun-10 15:00:00 GMT", {"25-jun-10", "00", "gmt"}),
        ("", set()),
    ],
)
def test_a_header_is_for_everybody_or_for_the_crawler_before_its_colon(line: str, expected: set[str]) -> None:
    assert of_header(line) == expected


@pytest.mark.parametrize(
    ("name", "is_ours"),
    [("robots", True), ("Robots ", True), ("ourbot", True), ("googlebot", False), ("generator", False), ("", False)],
)
def test_a_meta_element_is_ours_under_robots_and_under_our_own_name(name: str, is_ours: bool) -> None:
    assert of_meta(name, "NOINDEX follow, max-image-preview: none") == ({"noindex", "follow"} if is_ours else set())
