"""The staff's view of readers: their keys, their stored answers, and what documentation lacks by these."""

from search.admin import api_keys, stored_answers

__all__ = ["api_keys", "stored_answers"]
