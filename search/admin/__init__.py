"""The staff's view of how questions are answered.

Django loads this package at its start; importing the modules registers what they show.
"""

from search.admin import retrieval_cases

__all__ = ["retrieval_cases"]
