"""The staff's view: sources with their progress and reasons, documents and runs with their errors.

Django loads this package at its start; importing the modules registers what they show.
"""

from ingestion.admin import collections, documents, live, notifications, runs, sources

__all__ = ["collections", "documents", "live", "notifications", "runs", "sources"]
