"""The staff's view of what ``search`` stores."""

from search.admin.api_keys import ApiKeyAdmin

__all__ = ["ApiKeyAdmin"]
