"""The errors of the pipeline.

::

    IngestionError
    ├── PermanentError            trying again cannot help; the document fails at once
    │   ├── SourceError           the target is missing, empty or of no known kind
    │   ├── AddressRefused        the address may not be connected to, or robots.txt forbids it
    │   ├── PageGone              404 or 410
    │   ├── PageRefused           401, 403, another 4xx, endless redirects, no permission
    │   ├── UnsupportedContent    binary, an unknown format, or a page without text
    │   │   └── ErrorPage         a soft 404, a login wall, a blank shell of scripts
    │   ├── ModelError            the embedding model cannot be loaded
    │   ├── DeviceTaken           another embedding worker uses the device
    │   ├── ChunkTooLarge         one chunk alone exhausts the device's memory
    │   └── BadRecord             a record in the buffer cannot be read
    └── TransientError            worth another try later
        ├── FetchFailed           time-out, reset, 5xx
        │   └── Throttled         429, 503 or a spent allowance: the whole host is to be left alone
        ├── HostBusy              our own manners: this host's turn comes later
        ├── BufferUnavailable     Redis does not answer
        ├── DeviceFailed          the device answers nothing more in this process
        ├── LeaseLost             what was to be done alone is another process' by now
        └── VectorStoreUnavailable  Milvus does not answer
            └── CollectionMissing   it answers, and does not have the collection (any more)

Every message says which address or id it is about and what to do.
"""

from __future__ import annotations


class IngestionError(Exception):
    """Base of all errors that a stage raises on purpose."""


class PermanentError(IngestionError):
    """Trying again cannot help."""


class SourceError(PermanentError):
    """The source's target is missing, empty or not of a known kind."""


class AddressRefused(PermanentError):
    """Policy forbids the connection: private network, port, scheme or robots.txt."""


class PageGone(PermanentError):
    """The server says that the page does not exist (404, 410)."""


class PageRefused(PermanentError):
    """The server denies the page (401, 403, another 4xx, endless redirects), or file permissions do."""


class UnsupportedContent(PermanentError):
    """Nothing to index: a binary, an unknown format, or no text."""


class ErrorPage(UnsupportedContent):
    """A page that looks like an error, a login or an empty shell; it never replaces good text."""


class ModelError(PermanentError):
    """The embedding model is missing, damaged or of another dimension."""


class DeviceTaken(PermanentError):
    """Another embedding worker uses the device."""


class ChunkTooLarge(PermanentError):
    """One text alone exhausts the device's memory; ``position`` is its place among those handed over."""

    def __init__(self, message: str, position: int) -> None:
        super().__init__(message)
        self.position = position


class BadRecord(PermanentError):
    """A buffered record cannot be decoded or does not fit the collection."""


class TransientError(IngestionError):
    """Worth another try; ``retry_after`` is the server's own wish in seconds, if it said one."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class FetchFailed(TransientError):
    """The page could not be fetched this time."""


class Throttled(FetchFailed):
    """The server wants to be left alone for ``retry_after`` seconds, whatever the page."""


class HostBusy(TransientError):
    """This host's next turn comes in ``retry_after`` seconds. Nobody's fault, and no attempt."""


class BufferUnavailable(TransientError):
    """Redis does not answer."""


class DeviceFailed(TransientError):
    """The device answers nothing more in this process; a new one may use it."""


class LeaseLost(TransientError):
    """This process was stopped for longer than its lease; another one goes on with the work."""


class VectorStoreUnavailable(TransientError):
    """Milvus does not answer."""


class CollectionMissing(VectorStoreUnavailable):
    """Milvus answers and does not have the collection: the next drain makes it anew, an audit fills it."""
