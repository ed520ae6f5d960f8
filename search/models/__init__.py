"""What is kept of readers' questions: the answers that they were given, and the conversations these belong to."""

from search.models.conversation import Conversation
from search.models.stored_answer import StoredAnswer

__all__ = ["Conversation", "StoredAnswer"]
