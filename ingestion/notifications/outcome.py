"""What an attempt to tell somebody came to."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Outcome:
    """``final``: another attempt would end the same way; ``gone``: the receiver wants no messages any more."""

    sentence: str
    sent: bool = False
    final: bool = False
    gone: bool = False
    retry_after: float = 0.0
