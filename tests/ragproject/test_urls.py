"""Addresses outside the applications."""

from __future__ import annotations

import pytest
from django.test import Client


@pytest.mark.django_db
def test_browsers_that_ask_for_an_icon_are_shown_one(client: Client) -> None:
    response = client.get("/favicon.ico")
    assert response.status_code == 302
    assert b"".join(client.get(response["Location"])).startswith(b"<svg")
