"""Rows of the search application: keys of programs, and what is kept of readers' questions."""

from search.models.api_key import ApiKey
from search.models.conversation import Conversation
from search.models.stored_answer import StoredAnswer

__all__ = ["ApiKey", "Conversation", "StoredAnswer"]
