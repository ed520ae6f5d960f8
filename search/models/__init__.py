"""Rows of the search application."""

from search.models.api_key import ApiKey

__all__ = ["ApiKey"]
