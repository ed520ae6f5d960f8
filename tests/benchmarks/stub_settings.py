"""The project's settings with the stub embedder."""

from ragproject.settings import *  # noqa: F403
from ragproject.settings import INSTALLED_APPS

INSTALLED_APPS = ["tests.benchmarks.stubs", *INSTALLED_APPS]
