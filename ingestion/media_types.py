"""The media type that a document is to be read as: the declared one, or what its name and its first bytes say.

In: an address or a file's name, the type that a server declares ("" for none), and the body. Out: one of the types that
``extraction`` has a reader for, where it can be told; else the declared one. Many servers know nothing of Markdown,
reStructuredText and notebooks and send them as plain text, as bytes or as JSON. Reads no file and refuses nothing.
"""

from __future__ import annotations

import codecs
import re
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

HTML, PLAIN, MARKDOWN, RST = "text/html", "text/plain", "text/markdown", "text/x-rst"
NOTEBOOK, PDF = "application/x-ipynb+json", "application/pdf"
ASCIIDOC, ORG = "text/asciidoc", "text/x-org"
OFFICE = "application/vnd.openxmlformats-officedocument"
FORMATS = {
    ".html": HTML,
    ".htm": HTML,
    ".xhtml": HTML,
    ".md": MARKDOWN,
    ".markdown": MARKDOWN,
    ".mdx": MARKDOWN,
    ".qmd": MARKDOWN,
    ".rmd": MARKDOWN,
    ".rst": RST,
    ".txt": PLAIN,
    ".ipynb": NOTEBOOK,
    ".pdf": PDF,
    ".adoc": ASCIIDOC,
    ".asciidoc": ASCIIDOC,
    ".org": ORG,
    ".rtf": "application/rtf",
    ".docx": f"{OFFICE}.wordprocessingml.document",
    ".pptx": f"{OFFICE}.presentationml.presentation",
    ".xlsx": f"{OFFICE}.spreadsheetml.sheet",
    ".odt": "application/vnd.oasis.opendocument.text",
    ".epub": "application/epub+zip",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
    ".json": "application/json",
}
FILE_TYPES = frozenset({*FORMATS.values(), "application/xhtml+xml"})
# Their readers say what is wrong with a file.
BINARY = frozenset(FORMATS[suffix] for suffix in (".pdf", ".rtf", ".docx", ".pptx", ".xlsx", ".odt", ".epub"))
# Files of these formats are documents only if they describe an interface (OpenAPI): folders are full of others.
DATA = frozenset({".yaml", ".yml", ".json"})
_OPENAPI = re.compile(rb"""(?:^|[{,])\s*["']?(?:openapi|swagger)["']?\s*:\s*["']?(?:2\.0|3\.\d)""", re.MULTILINE)
_OPENAPI_NAME = re.compile(r"openapi|swagger|(?:^|[._-])oas(?:[._-]|\d)", re.IGNORECASE)
HEAD_BYTES = 16 * 1024  # the version of an OpenAPI document stands at its top; generated ones may have a licence above
ALIASES = {
    **dict.fromkeys(
        ("text/x-markdown", "text/x-web-markdown", "text/vnd.daringfireball.markdown", "text/x-gfm", "text/md",
         "application/markdown", "application/x-markdown"), MARKDOWN),
    **dict.fromkeys(("text/rst", "text/x-restructuredtext", "text/restructuredtext", "text/prs.fallenstein.rst"), RST),
    **dict.fromkeys(
        ("application/ipynb+json", "application/x-jupyter-notebook", "application/vnd.jupyter.ipynb"), NOTEBOOK),
}  # fmt: skip
# Types that say little of the format: the name, or else the look, says more.
GENERIC = frozenset({"", PLAIN, "application/octet-stream", "binary/octet-stream", "application/json", "text/json",
                     "application/x-download", "application/force-download", "application/unknown"})  # fmt: skip
MARKUP = frozenset({MARKDOWN, RST, NOTEBOOK, ASCIIDOC, ORG})

SNIFF_BYTES = 64 * 1024  # a document whose first 64 KiB show no markup is read as plain text
# After declarations and comments, of which pages have a few.
_HTML_START = re.compile(
    rb"(?:(?:<\?[^>]{0,200}>|<!--(?:[^-]|-(?!->)){0,2000}-->)\s*){0,20}<(?:!doctype\s+html|html|head|body)\b",
    re.IGNORECASE,
)
_HEADING = re.compile(rb"#{1,6}[ \t]+\S")
_MORE_MARKDOWN = re.compile(rb"^(?:#{2,6}[ \t]+\S|```|~~~)|\]\(\S", re.MULTILINE)
# Of reStructuredText: a directive, a hyperlink target, or a line of text with at least three equal marks below it. Dots
# and backquotes, which reStructuredText allows too, would take an ellipsis or a Markdown fence for a heading.
_RST = re.compile(
    rb"""^\.\.[ ](?:[\w:+.-]+::|_[^\n]+:) | ^[^\s][^\n]*\n([=\-~^"'*+\#])\1{2,}[ \t\r]*$""",
    re.MULTILINE | re.VERBOSE,
)


def by_name(address: str, declared: str) -> str:
    """Return a page's media type before its body is read: as declared or, where that says little, by the address."""
    declared = ALIASES.get(declared, declared)
    if declared not in GENERIC:
        return declared
    return _format_of(address) or declared or PLAIN


def by_look(address: str, content_type: str, body: bytes) -> str:
    """Return the type that ``body`` has by its look, where ``content_type``, told by the name, may be wrong."""
    start = body[:SNIFF_BYTES].removeprefix(codecs.BOM_UTF8).lstrip()
    if content_type == HTML:  # some servers send every unknown suffix as HTML
        named = _format_of(address)
        content_type = named if named in MARKUP and not _HTML_START.match(start) else HTML
    if content_type not in (PLAIN, *MARKUP):
        return content_type
    if _HTML_START.match(start):
        return HTML
    if content_type in (PLAIN, NOTEBOOK):
        is_notebook = start.startswith(b"{") and b'"cells"' in body
        if is_notebook and (content_type == NOTEBOOK or b'"nbformat"' in body):
            return NOTEBOOK
    if content_type == PLAIN and _HEADING.match(start) and _MORE_MARKDOWN.search(start):
        return MARKDOWN
    return RST if content_type == PLAIN and _RST.search(start) else content_type


def may_be_document(name: str) -> bool:
    """Return whether a file that cannot be looked into has a format that is read, by its name."""
    path = PurePosixPath(name)
    suffix = path.suffix.lower()
    return suffix in FORMATS and (suffix not in DATA or bool(_OPENAPI_NAME.search(path.name)))


def describes_interface(head: bytes) -> bool:
    """Return whether JSON or YAML is an OpenAPI document, by its first HEAD_BYTES."""
    return bool(_OPENAPI.search(head))


def _format_of(address: str) -> str:
    """Return the type that the suffix stands for, also before a last ".txt" (guide.md.txt); "" for an unknown one."""
    name = PurePosixPath(unquote(urlsplit(address).path))
    found = FORMATS.get(name.suffix.lower(), "")
    return FORMATS.get(PurePosixPath(name.stem).suffix.lower(), PLAIN) if found == PLAIN else found
