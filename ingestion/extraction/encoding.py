"""Bytes of a page → its text. Raises nothing: bytes that cannot be decoded become U+FFFD.

The encoding is taken from the byte order mark, the transport's charset, the page's own declaration or detection, in
this order; a declaration that the bytes themselves disprove is passed over.

A declaration in the page is looked for as browsers do. Text in a comment, in an attribute or in a tag that never
ends declares nothing, and of an element ``meta`` only its attribute ``charset`` counts, or ``content`` where
``http-equiv`` says that it is the content type. An XML declaration counts where no element does.
This is the standard's prescan (html.spec.whatwg.org, "prescan a byte stream"); w3lib's stops after 4 KB, which
pages with scripts in front of the declaration exceed, and BeautifulSoup's takes any "charset=" inside any ``meta``.
"""

from __future__ import annotations

import codecs
import re

import cchardet

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
# A text with so many bytes beyond ASCII that are valid UTF-8 is UTF-8; four bytes of GBK may be valid by chance.
PROOF_BYTES = 12
# With fewer errors a text is damaged UTF-8, not another encoding.
PROOF_ERRORS = 4
# UTF-8 with a few damaged bytes has tens of letters per error; GBK read as UTF-8 has more errors than letters.
DAMAGE_SHARE = 10
# A detector needs no more than this; of megabytes it would take a second.
SAMPLE_BYTES = 64 * 1024

_XML = re.compile(r"""\s*<\?xml\s[^>]*?\bencoding\s*=\s*(?:"([^">]*)"|'([^'>]*)')""")
_TAG = re.compile(
    r"""<!--(?:>|->|.*?-->|.*+)
      | <(?P<name>/?[a-z][^\s/>]*+) (?P<attributes>(?: = \s*+ (?:"[^"]*+(?:"|\Z) | '[^']*+(?:'|\Z))? | [^>=]++)*)
        (?P<end>>)?
    """,
    re.IGNORECASE | re.DOTALL | re.VERBOSE,
)
_ATTRIBUTE = re.compile(r"""([^\s/>=][^\s/>=]*+)(?:\s*+=\s*+(?:"([^"]*+)"|'([^']*+)'|([^\s>]*+)))?""")
_CONTENT = re.compile(r"""charset\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s;"'][^\s;]*))""", re.IGNORECASE)


def decode(body: bytes, charset: str = "", *, is_html: bool = False) -> str:
    """Return the text of a page; what cannot be decoded becomes U+FFFD.

    ``charset`` is the transport's declaration, if there is one; one in the page is looked for where it ``is_html``.
    """
    marked = next((name for mark, name in BYTE_ORDER_MARKS if body.startswith(mark)), "")
    return body.decode(marked or _declared_codec(body, charset, is_html) or _detected_codec(body), "replace")


def _declared_codec(body: bytes, charset: str, is_html: bool) -> str:
    """Return the codec that the transport or the page declares and the bytes do not disprove; empty if none is."""
    in_page = usable_codec(declared(body[:SAMPLE_BYTES])) if is_html else ""
    if in_page.startswith(("utf-16", "utf-32")):
        in_page = "utf-8"  # a declaration that can be read as ASCII cannot mean UTF-16
    for name in (usable_codec(charset), in_page):
        if name in VAGUE_CODECS:
            return "utf-8" if _is_utf8(body) else "cp1252"
        if name and not _is_disproved(body, name):
            return name
    return ""


def usable_codec(charset: str) -> str:
    """Return the codec's own name, or an empty string for one that is unknown, refused or not of text."""
    label = charset.strip(" \"'").lower()
    try:
        name = codecs.lookup(ALIASES.get(label, label)).name if label else ""
        b"a".decode(name or "utf-8", "ignore")  # refuses codecs that do not make text
    except (LookupError, ValueError):
        return ""
    return "" if name in REFUSED_CODECS else READ_AS.get(name, name)


def _is_disproved(body: bytes, name: str) -> bool:
    """Return whether the bytes of a page contradict ``name``, the codec that is declared for them.

    They do if they are UTF-8 and another codec is declared, or if they have more errors than letters as UTF-8.
    """
    sample = body[:SAMPLE_BYTES]
    if name == "utf-8":
        errors, letters = _as_utf8(sample)
        return errors >= PROOF_ERRORS and errors > letters
    beyond_ascii = len(sample.translate(None, bytes(range(128))))
    return beyond_ascii >= PROOF_BYTES and not name.startswith(("utf-16", "utf-32")) and _is_utf8(body)


def _as_utf8(sample: bytes) -> tuple[int, int]:
    """Return the number of errors and of letters beyond ASCII when the bytes are read as UTF-8."""
    text = sample.decode("utf-8", "replace")
    errors = text.count("\ufffd")
    return errors, len(text) - len(text.encode("ascii", "ignore")) - errors


def _is_utf8(body: bytes) -> bool:
    """Return whether the whole body is valid UTF-8; an empty one is."""
    try:
        body.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _detected_codec(body: bytes) -> str:
    """Return the codec that the bytes look like: UTF-8, even with a few errors, or what a detector finds."""
    if _is_utf8(body):
        return "utf-8"
    sample = body[:SAMPLE_BYTES]
    errors, letters = _as_utf8(sample)
    if errors * DAMAGE_SHARE < letters:
        return "utf-8"
    name = usable_codec(cchardet.detect(sample)["encoding"] or "")
    return "cp1252" if name in ("", "utf-8", *VAGUE_CODECS) else name


def declared(body: bytes) -> str:
    """Return the encoding that the page itself declares, as it is written, or an empty string."""
    text = body.decode("latin-1")
    for tag in _TAG.finditer(text):
        if not tag["end"] or tag["name"].lower() != "meta":
            continue
        values: dict[str, str] = {}
        for name, *written in _ATTRIBUTE.findall(tag["attributes"]):
            values.setdefault(name.lower(), "".join(written))  # the first attribute of a name counts
        label = values.get("charset", "").strip()
        if "charset" not in values and values.get("http-equiv", "").lower() == "content-type":
            found = _CONTENT.search(values.get("content", ""))
            label = "".join(filter(None, found.groups())).strip() if found else ""
        if label:
            return label
    xml = _XML.match(text)
    return "".join(filter(None, xml.groups())) if xml else ""
