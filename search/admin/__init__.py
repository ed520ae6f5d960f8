"""The staff's view of readers and of how questions are answered: keys, stored answers, what documentation lacks, tests.

Django loads this package at its start; importing the modules registers what they show.
"""

from search.admin import api_keys, retrieval_cases, stored_answers

__all__ = ["api_keys", "retrieval_cases", "stored_answers"]
