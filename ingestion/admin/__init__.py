"""The staff's view: sources with their progress, documents and runs with their errors, and who did what.

Django loads this package at its start; importing the modules registers what they show.
"""

from ingestion.admin import audit_trail, collections, documents, live, notifications, runs, sources

__all__ = ["audit_trail", "collections", "documents", "live", "notifications", "runs", "sources"]
