"""Which files are documents, and of which media type: by their names, and by their first bytes where names say little.

Data files (YAML, JSON) are documents only if they describe an interface (OpenAPI): folders are full of others.
"""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePath

from ingestion.sources.local.nofollow import open_nofollow

PDF = "application/pdf"
OFFICE = "application/vnd.openxmlformats-officedocument"
FORMATS = {
    ".html": "text/html",
    ".htm": "text/html",
    ".xhtml": "text/html",
    ".md": "text/markdown",
    ".markdown": "text/markdown",
    ".mdx": "text/markdown",
    ".rst": "text/x-rst",
    ".txt": "text/plain",
    ".ipynb": "application/x-ipynb+json",
    ".pdf": PDF,
    ".adoc": "text/asciidoc",
    ".asciidoc": "text/asciidoc",
    ".org": "text/x-org",
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
BINARY = frozenset(
    FORMATS[suffix] for suffix in (".pdf", ".rtf", ".docx", ".pptx", ".xlsx", ".odt", ".epub")
)  # their readers say what is wrong with a file
DATA = frozenset({".yaml", ".yml", ".json"})
OPENAPI = re.compile(rb"""(?:^|[{,])\s*["']?(?:openapi|swagger)["']?\s*:\s*["']?(?:2\.0|3\.\d)""", re.MULTILINE)
OPENAPI_NAME = re.compile(r"openapi|swagger|(?:^|[._-])oas(?:[._-]|\d)", re.IGNORECASE)
# reStructuredText in a .txt file, as Django's own documentation has it: a directive, a hyperlink target,
# or a line of text with at least three equal marks below it. Dots and backquotes, which reStructuredText
# allows too, would take an ellipsis or a Markdown fence for a heading.
RST = re.compile(
    rb"""^\.\.[ ](?:[\w:+.-]+::|_[^\n]+:) | ^[^\s][^\n]*\n([=\-~^"'*+\#])\1{2,}[ \t\r]*$""",
    re.MULTILINE | re.VERBOSE,
)
SNIFF_BYTES = 64 * 1024  # a document whose first 64 KiB show no markup is read as plain text
HEAD_BYTES = 16 * 1024  # the version of an OpenAPI document stands at its top; generated ones may have a licence above
PDF_MARK_BYTES = 1024  # readers look for the mark this far into a file


def may_be_document(name: str) -> bool:
    """Return whether a file that cannot be looked into has an accepted format, by its name."""
    suffix = PurePath(name).suffix.lower()
    return suffix in FORMATS and (suffix not in DATA or bool(OPENAPI_NAME.search(PurePath(name).name)))


def is_other_data(path: Path) -> bool:
    """Return whether a file of data, by its suffix, does not describe an interface, by its head."""
    if path.suffix.lower() not in DATA:
        return False
    try:
        with os.fdopen(open_nofollow(Path(os.path.realpath(path)), os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            return not OPENAPI.search(file.read(HEAD_BYTES))
    except OSError:
        return False  # reading it will say why
