"""The staff's view: readers' questions with their answers, what documentation lacks by them, and keys."""

from search.admin import api_keys, stored_answers

__all__ = ["api_keys", "stored_answers"]
