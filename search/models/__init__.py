"""Rows of the search application: who may ask by program, what is kept of readers' questions, tests of the search."""

from search.models.api_key import ApiKey
from search.models.conversation import Conversation
from search.models.retrieval_case import CaseRun, RetrievalCase
from search.models.stored_answer import StoredAnswer

__all__ = ["ApiKey", "CaseRun", "Conversation", "RetrievalCase", "StoredAnswer"]
