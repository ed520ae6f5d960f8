"""Page → Extracted: the main text of one document as Markdown, with its title, links and anchors.

In: a ``Page`` as fetched (bytes). Out: an ``Extracted``. Bytes become text in the order byte order mark,
transport's charset, the page's own declaration, detection; a declaration that the bytes themselves disprove is
passed over. What cannot be decoded becomes U+FFFD.
Raises ``UnsupportedContent`` for a format nobody reads here, a binary, and a page without text.
Does not fetch, chunk or store.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable

import cchardet

from ingestion.exceptions import UnsupportedContent
from ingestion.extractors import declarations, hypertext, markdown, notebook, pdf, plain, restructuredtext
from ingestion.extractors.characters import clean, looks_binary
from ingestion.types import Extracted, Page

READERS: dict[str, Callable[[str, str], Extracted]] = {
    "text/html": hypertext.read,
    "application/xhtml+xml": hypertext.read,
    "text/markdown": markdown.read,
    "text/x-markdown": markdown.read,
    "text/x-rst": restructuredtext.read,
    "text/prs.fallenstein.rst": restructuredtext.read,
    "text/plain": plain.read,
    "application/x-ipynb+json": notebook.read,
}
BINARY_READERS: dict[str, Callable[[str, bytes], Extracted]] = {"application/pdf": pdf.read}
MARKUP = (markdown.read, restructuredtext.read)  # those that go through a text line by line
HTML_TYPES = ("text/html", "application/xhtml+xml")

# Longest first: UTF-32's mark begins with UTF-16's.
BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# Codecs that no page is written in and that are slow, or run escapes, on hostile input.
REFUSED_CODECS = {"idna", "punycode", "undefined", "unicode-escape", "raw-unicode-escape", "utf-7"}
# What servers declare when they do not know; a body that is valid UTF-8 proves them wrong.
VAGUE_CODECS = {"ascii", "iso8859-1", "cp1252"}
# Browsers read these names as the larger encodings, and pages are written for browsers.
READ_AS = {
    "gb2312": "gb18030", "gbk": "gb18030", "euc_kr": "cp949", "shift_jis": "cp932", "big5": "big5hkscs",
    "iso8859-9": "cp1254", "iso8859-11": "cp874", "tis-620": "cp874",
}  # fmt: skip
ALIASES = {
    "x-sjis": "cp932", "x-gbk": "gb18030", "x-euc-jp": "euc_jp", "windows-874": "cp874", "x-big5": "big5hkscs",
    "unicode-1-1-utf-8": "utf-8", "x-mac-cyrillic": "mac-cyrillic", "x-cp1251": "cp1251", "x-cp1252": "cp1252",
    "iso-8859-8-i": "iso8859-8", "dos-874": "cp874", "macintosh": "mac-roman",
}  # fmt: skip
# So many bytes beyond ASCII that are valid UTF-8 are no other encoding by chance; four of GBK may be.
PROOF_BYTES = 12
# Fewer errors are damage.
PROOF_ERRORS = 4
# UTF-8 with a few damaged bytes has tens of letters to an error; of GBK read as UTF-8 most is errors.
DAMAGE_SHARE = 10
# A detector needs no more than this; of megabytes it would take a second.
SAMPLE_BYTES = 64 * 1024


def extract(page: Page) -> Extracted:
    """The page's text, or UnsupportedContent with the address and the reason."""
    if binary_reader := BINARY_READERS.get(page.content_type):
        return binary_reader(page.url, page.body)
    reader = READERS.get(page.content_type)
    if reader is None:
        raise UnsupportedContent(f"{page.content_type or 'no content type'} is no format we read: {page.url}")
    text = decode(page.body, page.charset, is_html=page.content_type in HTML_TYPES)
    if looks_binary(text):
        raise UnsupportedContent(f"a binary file declared as {page.content_type}: {page.url}")
    text = clean(text)
    if reader in MARKUP and plain.is_all_that_can_be_read(text):
        reader = plain.read
    extracted = reader(page.url, text)
    if not extracted.markdown.strip():
        raise UnsupportedContent(f"no text in {page.url}")
    return extracted


def decode(body: bytes, charset: str = "", *, is_html: bool = False) -> str:
    """Bytes → text, never failing."""
    encoding = _by_mark(body) or _declared(body, charset, is_html) or _detected(body)
    return body.decode(encoding, "replace")


def _by_mark(body: bytes) -> str:
    return next((name for mark, name in BYTE_ORDER_MARKS if body.startswith(mark)), "")


def _declared(body: bytes, charset: str, is_html: bool) -> str:
    for name in (_usable(charset), _in_page(body) if is_html else ""):
        if name in VAGUE_CODECS:
            return "utf-8" if _is_utf8(body) else "cp1252"
        if name and not _is_disproved(body, name):
            return name
    return ""


def _in_page(body: bytes) -> str:
    """A declaration that can be read as ASCII cannot mean UTF-16."""
    name = _usable(declarations.declared(body[:SAMPLE_BYTES]))
    return "utf-8" if name.startswith(("utf-16", "utf-32")) else name


def _usable(charset: str) -> str:
    """The codec's own name, or an empty string for one that is unknown, refused or not of text."""
    label = charset.strip(" \"'").lower()
    try:
        name = codecs.lookup(ALIASES.get(label, label)).name if label else ""
        b"a".decode(name or "utf-8", "ignore")  # refuses codecs that do not make text
    except (LookupError, ValueError):
        return ""
    return "" if name in REFUSED_CODECS else READ_AS.get(name, name)


def _is_disproved(body: bytes, name: str) -> bool:
    """By a body that is UTF-8 where it says otherwise, or that makes more noise than letters where it says so."""
    sample = body[:SAMPLE_BYTES]
    if name == "utf-8":
        errors, letters = _as_utf8(sample)
        return errors >= PROOF_ERRORS and errors > letters
    beyond_ascii = len(sample.translate(None, bytes(range(128))))
    return beyond_ascii >= PROOF_BYTES and not name.startswith(("utf-16", "utf-32")) and _is_utf8(body)


def _as_utf8(sample: bytes) -> tuple[int, int]:
    """How many errors, and how many letters beyond ASCII."""
    text = sample.decode("utf-8", "replace")
    errors = text.count("\ufffd")
    return errors, len(text) - len(text.encode("ascii", "ignore")) - errors


def _is_utf8(body: bytes) -> bool:
    try:
        body.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _detected(body: bytes) -> str:
    if _is_utf8(body):
        return "utf-8"
    sample = body[:SAMPLE_BYTES]
    errors, letters = _as_utf8(sample)
    if errors * DAMAGE_SHARE < letters:
        return "utf-8"
    name = _usable(cchardet.detect(sample)["encoding"] or "")
    return "cp1252" if name in ("", "utf-8", *VAGUE_CODECS) else name
