"""Addresses of this site for programs, which have no page that a relative one could belong to."""

from __future__ import annotations

from urllib.parse import urljoin

from django.conf import settings
from django.http import HttpRequest


def site_address(request: HttpRequest) -> str:
    """Return the address of the site as its visitors write it: PUBLIC_URL, or else what this request asked for."""
    return settings.PUBLIC_URL or request.build_absolute_uri("/")


def absolute(link: str, site: str) -> str:
    """Return a link of this site, or of another, with its host."""
    return urljoin(site, link)
