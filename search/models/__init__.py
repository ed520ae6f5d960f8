"""Rows of the search application."""

from search.models.retrieval_case import CaseRun, RetrievalCase

__all__ = ["CaseRun", "RetrievalCase"]
