"""Found by every Python process of a stack under test, because PYTHONPATH names this folder."""

from __future__ import annotations

import os

if os.environ.get("CHAOS_FOLDER"):
    from tests.chaos import inside

    inside.install()
