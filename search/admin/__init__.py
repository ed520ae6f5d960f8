"""The staff's view of readers' questions: stored answers, and what documentation lacks by them."""

from search.admin import stored_answers

__all__ = ["stored_answers"]
