"""Check the zip archive that an Office file or a book is, before anything in it is unpacked."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Iterator

from lxml import etree

from ingestion.exceptions import UnsupportedContent

OLE_START = b"\xd0\xcf\x11\xe0"  # old Office files, and new ones with a password
ENCRYPTED = 0x1
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# Deflate reaches 1032:1. XML packs better than other text, but more than 200:1 is a bomb, or nothing to read.
MAX_ENTRIES, MAX_BYTES, MAX_RATIO, RATIO_FREE_BYTES = 10_000, 300_000_000, 200, 1024 * 1024
# What a program has to read as a whole: text, not pictures.
MAX_TEXT_BYTES = 60_000_000
DAMAGE = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, ValueError, KeyError)


def opened(url: str, body: bytes) -> zipfile.ZipFile:
    """Return the zip archive in ``body``.

    Raise UnsupportedContent if it is encrypted, damaged, packed in an unusual way, or too large when it is unpacked.
    """
    if body.startswith(OLE_START):
        raise UnsupportedContent(
            f"{url} has a password or an old Office format; save it without one, as .docx, .pptx or .xlsx"
        )
    try:
        archive = zipfile.ZipFile(io.BytesIO(body))
    except DAMAGE as error:
        raise UnsupportedContent(f"{url} is damaged ({error}); open it in its program and save it again") from error
    entries = archive.infolist()
    size = sum(entry.file_size for entry in entries)
    text = sum(entry.file_size for entry in entries if entry.filename.endswith((".xml", ".xhtml", ".html", ".htm")))
    if any(entry.flag_bits & ENCRYPTED for entry in entries):
        raise UnsupportedContent(f"{url} is encrypted; save it without a password")
    if any(entry.compress_type not in METHODS for entry in entries):
        raise UnsupportedContent(f"{url} is compressed in an unusual way; open it in its program and save it again")
    if len(entries) > MAX_ENTRIES or size > MAX_BYTES or text > MAX_TEXT_BYTES:
        raise UnsupportedContent(
            f"{url} holds {len(entries)} parts of {size} bytes when unpacked; split it or exclude it"
        )
    if size > RATIO_FREE_BYTES and size > MAX_RATIO * len(body):
        raise UnsupportedContent(f"{url} would unpack to more than {MAX_RATIO} times its size; exclude it")
    return archive


def elements(url: str, archive: zipfile.ZipFile, name: str, *tags: str) -> Iterator[etree._Element]:
    """Yield the elements with the local names ``tags`` in a part of the archive, each emptied afterwards.

    Yield nothing if there is no part ``name``; raise UnsupportedContent if it is damaged. Entities are not expanded,
    and zipfile unpacks no more than the part declares.
    """
    if name not in archive.namelist():
        return
    try:
        events = etree.iterparse(
            io.BytesIO(archive.read(name)),
            tag=[f"{{*}}{tag}" for tag in tags],
            resolve_entities=False,
            no_network=True,
            recover=True,
        )
        for _, element in events:
            yield element
            element.clear()
    except (*DAMAGE, etree.XMLSyntaxError) as error:
        raise UnsupportedContent(f"{url} is damaged ({error}); open it in its program and save it again") from error
