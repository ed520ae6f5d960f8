"""The errors of the pipeline.

::

    IngestionError
    ├── PermanentError            trying again cannot help; the document fails at once
    │   ├── SourceError           the target is missing, empty or of no known kind
    │   ├── AddressRefused        the address may not be connected to, or robots.txt forbids it
    │   │   └── RedirectRefused   a redirect leads from https to http
    │   ├── PageGone              404 or 410
    │   ├── PageRefused           401, 403, another 4xx, endless redirects, no permission
    │   ├── UnsupportedContent    binary, an unknown format, or a page without text
    │   │   ├── ErrorPage         a soft 404, a login wall, a blank shell of scripts
    │   │   └── IndexingRefused   the page asks not to be indexed
    │   ├── DeviceTaken           another embedding worker uses the device
    │   ├── ChunkTooLarge         one chunk alone exhausts the device's memory
    │   ├── ContextRefused        a language model has no sentence of context for a chunk
    │   ├── BadRecord             a record in the buffer cannot be read
    │   └── BackupRefused         a backup cannot be written, is damaged, or would replace what nobody gave up
    └── TransientError            worth another try later
        ├── FetchFailed           time-out, reset, 5xx
        │   └── Throttled         429, 503 or a spent rate limit: the whole host is to be left alone
        ├── HostBusy              our own pace: no request may go to this host yet
        ├── NobodyAnswers         no embedding worker embeds questions
        ├── DeviceFailed          the device cannot be used any more in this process
        ├── LeaseLost             a lock or a document is not this process's any more
        └── EnvironmentFault      what the work needs is missing or full; it waits, and no attempt is counted
            ├── ModelError            the embedding model, or its tokenizer, cannot be loaded
            ├── ToolMissing           a program that reads a format is not installed
            ├── StorageMissing        a folder that is read is not there, such as a disk that is not mounted
            ├── LanguageModelUnavailable  the server that writes sentences of context gives none
            ├── MachineExhausted      a disk is full, or there are no more open files
            ├── DatabaseUnavailable   the database stores nothing
            ├── BufferUnavailable     Redis does not answer, or stores nothing
            └── VectorStoreUnavailable  Milvus does not answer
                └── CollectionMissing   Milvus answers, but does not have the collection

Every message says which address or id it is about and what to do.
"""

from __future__ import annotations


class IngestionError(Exception):
    """Base of all errors that a stage raises on purpose."""


class PermanentError(IngestionError):
    """A failure that trying again cannot help."""


class SourceError(PermanentError):
    """A source whose target is missing, empty or not of a known kind."""


class AddressRefused(PermanentError):
    """An address that policy forbids: private network, port, scheme or robots.txt."""


class RedirectRefused(AddressRefused):
    """A redirect that is not followed, since it leads from https to http."""


class PageGone(PermanentError):
    """A page that does not exist, as the server says (404, 410)."""


class PageRefused(PermanentError):
    """A page that the server denies (401, 403, another 4xx, endless redirects), or that file permissions do."""


class UnsupportedContent(PermanentError):
    """A document with nothing to index: a binary, an unknown format, or no text."""


class ErrorPage(UnsupportedContent):
    """A page that looks like an error, a login or an empty shell of scripts; it never replaces good text."""


class IndexingRefused(UnsupportedContent):
    """A page that asks not to be indexed, in an element or in a header."""


class DeviceTaken(PermanentError):
    """A device that another embedding worker uses."""


class ChunkTooLarge(PermanentError):
    """One text alone exhausts the device's memory; ``position`` is its index among those handed over."""

    def __init__(self, message: str, position: int) -> None:
        super().__init__(message)
        self.position = position


class ContextRefused(PermanentError):
    """A language model has no sentence of context for a chunk, which goes on without."""


class BadRecord(PermanentError):
    """A buffered record that cannot be decoded or does not fit the collection."""


class TransientError(IngestionError):
    """A failure that is worth another try, after ``retry_after`` seconds if the server said so."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class FetchFailed(TransientError):
    """A page that could not be fetched this time."""


class Throttled(FetchFailed):
    """A server that wants to be left alone for ``retry_after`` seconds, whatever the page."""


class HostBusy(TransientError):
    """A host that has no free slot; one is reserved in ``retry_after`` seconds. This does not count as an attempt."""


class NobodyAnswers(TransientError):
    """No embedding worker embeds questions: none is there, or it has failed."""


class DeviceFailed(TransientError):
    """A device that this process cannot use any more; a new process may."""


class LeaseLost(TransientError):
    """A lock or a document that this process has no more; another one has it, or the work is not wanted any more."""


class EnvironmentFault(TransientError):
    """Something that the work needs is missing, full or out of reach: a person mends it, and the work goes on."""


class ModelError(EnvironmentFault):
    """An embedding model that is missing, damaged or of another dimension."""


class LanguageModelUnavailable(EnvironmentFault):
    """The language model at ingest gives no sentences; ``slow``: it took too long for one."""

    def __init__(self, message: str, *, slow: bool = False) -> None:
        super().__init__(message)
        self.slow = slow


class ToolMissing(EnvironmentFault):
    """A program that reads a format is not installed."""


class StorageMissing(EnvironmentFault):
    """A folder of a source that is not there: a disk is not mounted, rather than a document deleted."""


class MachineExhausted(EnvironmentFault):
    """A disk that takes no more, or a process that gets no more open files or memory."""


class DatabaseUnavailable(EnvironmentFault):
    """The database stores nothing: its disk is full, or it does not answer."""


class BackupRefused(PermanentError):
    """A backup cannot be written, is damaged or of another version, or would replace what nobody gave up."""


class BufferUnavailable(EnvironmentFault):
    """Redis does not answer, or stores nothing."""


class VectorStoreUnavailable(EnvironmentFault):
    """Milvus does not answer."""


class CollectionMissing(VectorStoreUnavailable):
    """Milvus does not have the collection: the next drain creates it, and an audit fills it."""
