"""Who asks a question or reads a document: the one thing that decides which sources are there for them.

A ``Caller`` is made by ``identify`` for each request, from the rows as they are then; commands are the ``OPERATOR``.
It does not say how the caller proved who it is.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Q

from ragproject.clients import LOCAL

SEARCH, ASK, ADMIN = "search", "ask", "admin"
SCOPES = (SEARCH, ASK, ADMIN)


@dataclass(frozen=True, slots=True)
class Caller:
    """``name`` is for limits and logs; ``address`` is the network client; no ``sources`` (None) means all of them.

    ``search_limit`` and ``ask_limit`` count in the place of the settings' where they are not empty.
    """

    name: str
    address: str
    scopes: frozenset[str]
    sources: frozenset[int] | None
    search_limit: str = ""
    ask_limit: str = ""

    @property
    def anonymous(self) -> bool:
        """Return whether nothing is known of the caller but an address."""
        return self.name == self.address

    def sees(self, source_id: int) -> bool:
        """Return whether the caller may read documents of this source."""
        return self.sources is None or source_id in self.sources

    def visible(self, source: str) -> Q:
        """Return the condition for rows whose ``source`` (the path to the source's id) the caller may see."""
        return Q() if self.sources is None else Q(**{f"{source}__in": self.sources})


# Whoever has a shell on the server sees the database anyway.
OPERATOR = Caller("operator", LOCAL, frozenset(SCOPES), None)
