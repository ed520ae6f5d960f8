"""URL rules of sources on the web: which addresses are documents of a source, and which are the same document.

In: an address and a source. Out: an address, a reason or a template; nothing is requested. A website holds what lies on
its target's host below the target's path up to the last slash; a sitemap may name all pages of its host. http and https
are one site, written like the target; ``www.`` is another host.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePosixPath
from urllib.parse import urlsplit, urlunsplit

from ingestion.exceptions import AddressRefused
from ingestion.fetching.responses import READABLE
from ingestion.fetching.urls import canonical
from ingestion.media_types import FILE_TYPES, FORMATS
from ingestion.references import resolved
from ingestion.sources.globs import wanted
from ingestion.types import SourceSpec

MAX_QUERY_PARAMETERS = 4  # more are filters and calendars, which multiply without end
MAX_REPEATED_SEGMENT = 3  # /a/a/a may be a package of that name; a relative link gone wrong adds one each time
MAX_REPEATED_CYCLE = 2  # /a/b/a/b happens (a module's tests), a third round does not
MAX_SEGMENTS = 30  # Java's reference, which is deep, has 12
# The navigation is the same on every page: a link seen before costs 3 µs instead of 200. About 5 MB.
LINKS_CACHED = 10_000

# Parameters that say where a reader came from. Not ``ref`` and ``source``: they also select what is shown.
TRACKING = re.compile(
    r"utm_\w+|_ga|_gl|gclid|gclsrc|dclid|gbraid|wbraid|fbclid|msclkid|yclid|twclid|ttclid|igshid|li_fat_id|mc_[ce]id"
    r"|mkt_tok|srsltid|s_kwcid|wickedid|_openstat|_hsenc|_hsmi|__hs\w+|hsctatracking|vero_id|oly_(anon|enc)_id",
    re.IGNORECASE,
)
SESSION = re.compile(
    r"phpsessid|jsessionid|aspsessionid\w*|asp\.net_sessionid|cfid|cftoken|oscsid|zenid", re.IGNORECASE
)
# Names that also mean a section or a style; they name a session only where the value looks like one.
SESSION_PERHAPS = re.compile(r"sid|s|session|session_?id|sess_?id", re.IGNORECASE)
SESSION_VALUE = re.compile(r"(?=[^&]*\d)[0-9a-z_-]{16,}", re.IGNORECASE)
SESSION_IN_PATH = re.compile(
    r";(?:jsessionid|phpsessid|sid)=[^/?;]*|/\((?:[a-z]\([0-9a-z_-]{24,}\))+\)(?=/)", re.IGNORECASE
)
PAGE_NUMBER = re.compile(r"p|pg|page|paged|pagenumber|start|offset", re.IGNORECASE)
INDEX_FILE = re.compile(r"/(?:index|default)\.[a-z]{3,5}$", re.IGNORECASE)

# Copies of the pages' sources and lists of links, which Sphinx writes beside the pages themselves.
GENERATED = re.compile(r"/_sources/|/(?:genindex(?:-[^/]*)?|py-modindex)(?:\.html|/)?$")
# Told by their names rather than fetched and refused: each request saved is a round trip to somebody else's server.
# Those that have a reader are documents where the source's include globs name them.
# fmt: off
BINARY_SUFFIXES = frozenset(
    {
        ".7z", ".avi", ".bin", ".bmp", ".bz2", ".css", ".csv", ".deb", ".dmg", ".doc", ".docx", ".eot",
        ".epub", ".exe", ".gif", ".gz", ".ico", ".inv", ".iso", ".jar", ".jpeg", ".jpg", ".js", ".json",
        ".m4a", ".map", ".mjs", ".mov", ".mp3", ".mp4", ".msi", ".ogg", ".otf", ".pdf", ".png", ".ppt",
        ".pptx", ".rar", ".rpm", ".rss", ".svg", ".tar", ".tgz", ".tif", ".tiff", ".ttf", ".wasm", ".wav",
        ".webm", ".webmanifest", ".webp", ".whl", ".woff", ".woff2", ".xls", ".xlsx", ".xml", ".xz", ".zip",
    }
)
# fmt: on


@dataclass(frozen=True, slots=True)
class Scope:
    """The part of the web that belongs to a source; an empty ``host`` stands for all of it."""

    scheme: str
    host: str
    prefix: str

    def has_host_of(self, url: str) -> bool:
        """Return whether ``url`` lies on the source's host."""
        return self.host in ("", urlsplit(url).netloc)

    def holds(self, url: str) -> bool:
        """Return whether ``url`` lies on the source's host and below its path."""
        return self.has_host_of(url) and urlsplit(url).path.startswith(self.prefix)


@lru_cache(maxsize=256)
def scope_of(spec: SourceSpec) -> Scope:
    """Return the part of the web that a source covers."""
    if spec.kind == "urls":
        return Scope("", "", "/")
    target = urlsplit(normalise_url(spec.target))
    prefix = "/" if spec.kind == "sitemap" else target.path.rpartition("/")[0] + "/"
    return Scope(target.scheme, target.netloc, prefix)


# --- Normalisation --------------------------------------------------------------------------------------


def normalise_url(url: str) -> str:
    """Return the canonical form of a URL without tracking and session parameters. Raise AddressRefused."""
    address = canonical(url)
    if "?" not in address and not SESSION_IN_PATH.search(address):
        return address
    parts = urlsplit(address)
    kept = []
    for parameter in filter(None, parts.query.split("&")):
        name, _, value = parameter.partition("=")
        is_session = SESSION.fullmatch(name) or (SESSION_PERHAPS.fullmatch(name) and SESSION_VALUE.fullmatch(value))
        if not (is_session or TRACKING.fullmatch(name)):
            kept.append(parameter)
    path = SESSION_IN_PATH.sub("", parts.path)
    return canonical(urlunsplit((parts.scheme, parts.netloc, path, "&".join(kept), "")))


def resolve_link(base: str, link: str) -> str:
    """Return the absolute address of a link on the page ``base``.

    A malformed one is returned as it is, for ``normalise_url`` to refuse.
    """
    try:
        return resolved(base, link)
    except ValueError:
        return link


def normalise_in_source(spec: SourceSpec, url: str) -> str:
    """Return the normalised ``url`` with the scheme of the source's target, if it lies on the source's host."""
    address, scope = normalise_url(url), scope_of(spec)
    if not scope.host or not scope.has_host_of(address):
        return address
    return f"{scope.scheme}:{address.partition(':')[2]}"


@lru_cache(maxsize=LINKS_CACHED)
def document_of(spec: SourceSpec, link: str) -> str:
    """Return the address of the document that a link leads to, or "" when it is not one of the source's."""
    try:
        address = normalise_in_source(spec, link)
    except AddressRefused:
        return ""
    return "" if exclusion_reason(spec, address) else address


# --- Which addresses are documents ----------------------------------------------------------------------


def exclusion_reason(spec: SourceSpec, url: str) -> str:
    """Return why an address, normalised in the source, is not one of its documents, or "" when it is."""
    scope, parts = scope_of(spec), urlsplit(url)
    if not scope.has_host_of(url):
        return "on another host"
    if not scope.holds(url):
        return f"outside {scope.prefix}"
    suffix = _suffix(parts.path)
    if (suffix in BINARY_SUFFIXES and not _is_asked_for(spec, suffix)) or GENERATED.search(parts.path):
        return "of files that are no pages"
    if is_trap(url, below=scope.prefix):
        return "that look generated without end"
    below = url.partition(parts.netloc)[2]
    return "" if wanted(spec, url, below, below.removeprefix(scope.prefix)) else "that the globs do not want"


def content_types(spec: SourceSpec, url: str) -> frozenset[str]:
    """Return the media types that are accepted from an address: files only under the suffixes that the globs name."""
    return FILE_TYPES if _is_asked_for(spec, _suffix(urlsplit(url).path)) else READABLE


def _suffix(path: str) -> str:
    """Return the suffix of a path's last segment in lower case, such as ".pdf", or "" when it has none."""
    return PurePosixPath(path.rpartition("/")[2]).suffix.lower()


def _is_asked_for(spec: SourceSpec, suffix: str) -> bool:
    """Return whether an include glob ends in the suffix of a format that has a reader, as ``*.pdf`` does."""
    return suffix in FORMATS and any(glob.lower().endswith(suffix) for glob in spec.include)


def is_trap(url: str, *, below: str = "/") -> bool:
    """Return whether an address looks like one of an endless number: combined filters, or a path that repeats.

    Only segments below the path ``below`` count.
    """
    parts = urlsplit(url)
    if parts.query.count("&") >= MAX_QUERY_PARAMETERS:
        return True
    segments = [segment for segment in parts.path.removeprefix(below).split("/") if segment]
    if len(segments) > MAX_SEGMENTS or max(Counter(segments).values(), default=0) > MAX_REPEATED_SEGMENT:
        return True
    longest = len(segments) // (MAX_REPEATED_CYCLE + 1)
    return any(_cycles(segments, size) for size in range(2, longest + 1))


def _cycles(segments: list[str], size: int) -> bool:
    """Return whether a sequence of ``size`` segments occurs three times in a row."""
    in_a_row = 0
    for here, there in zip(segments, segments[size:], strict=False):
        in_a_row = in_a_row + 1 if here == there else 0
        if in_a_row == size * MAX_REPEATED_CYCLE:
            return True
    return False


# --- Several addresses of one document ------------------------------------------------------------------


def canonical_in_scope(spec: SourceSpec, url: str, named: str) -> str:
    """Return the address that counts for the page at ``url`` when it names ``named`` as its canonical address.

    That is ``named`` only if it lies within the source, and not where sites commonly get it wrong: when every page
    names the start page, or every page of a series names the first.
    """
    address = document_of(spec, named) if named and scope_of(spec).host else ""
    if not address or _page_number(address) != _page_number(url):
        return url
    return url if _is_start(spec, address) and not _is_start(spec, url) else address


def _is_start(spec: SourceSpec, url: str) -> bool:
    """Return whether ``url`` has the path of the target, of the folder that the source covers, or of the host's root.

    An index file at the end of the path and the query play no part.
    """
    starts = {scope_of(spec).prefix, "/", _folder(urlsplit(normalise_in_source(spec, spec.target)).path)}
    return _folder(urlsplit(url).path) in starts


def _folder(path: str) -> str:
    """Return a path with an index file at its end left out: "/a/index.html" is "/a/". Others stay as they are."""
    return INDEX_FILE.sub("/", path)


def _page_number(url: str) -> list[str]:
    """Return the values of the query's parameters that number pages, in order; empty when there are none."""
    pairs = (piece.partition("=") for piece in urlsplit(url).query.split("&"))
    return [value for name, _, value in pairs if PAGE_NUMBER.fullmatch(name)]


def comparison_key(url: str) -> str:
    """Return a key that is equal for /a, /a/ and /a/index.html.

    Most sites serve one page for them, but not all: the key may compare lists and must not merge documents.
    """
    parts = urlsplit(url)
    return f"{parts.netloc}{_folder(parts.path).rstrip('/')}?{parts.query}"


# --- Templates ------------------------------------------------------------------------------------------

MAX_TEMPLATE_CHARS = 300  # the column that counts them
# 5.2, v1.0.1, 4.2.x, 2024.1: each version has its own pages, as many as any other.
VERSION = re.compile(
    r"v?\d+(?:\.\d+)*(?:\.(?:\d+|x))(?:-?(?:a|b|rc|alpha|beta|dev|post)\.?\d*)?(?:\.html?)?", re.IGNORECASE
)
DOTTED_DATE = re.compile(r"(?:19|20)\d\d\.\d\d\.\d\d(?:\.html?)?")
IDENTIFIER = re.compile(
    r"(?<![0-9a-z])(?:[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}|(?=[0-9a-f]*\d)(?=[0-9a-f]*[a-f])[0-9a-f]{8,})(?![0-9a-z])",
    re.IGNORECASE,
)
NUMBER = re.compile(r"\d+")


def template(url: str) -> str:
    """Return the address with its variable parts replaced, or "" when it has none.

    All pages of one generator have the same template. A site may have hundreds of pages of one template; thousands are
    a calendar or a filter.
    """
    parts = urlsplit(url)
    path = "/".join(map(_variable_parts, parts.path.split("/")))
    # A lone parameter may be the page's name (?title=Setup), so that its words stay. Several are filters: with six of
    # them there are 209 ways to choose up to four, and each would be a template of its own.
    name, _, value = parts.query.partition("=")
    if "&" in parts.query:
        query = "{}"
    elif "/" in value or "%2f" in value.lower():  # an address within the address: the way back from a login
        query = f"{name}={{}}"
    else:
        query = _variable_parts(parts.query)
    if (path, query) == (parts.path, parts.query):
        return ""
    return f"{parts.netloc}{path}{'?' if query else ''}{query}"[:MAX_TEMPLATE_CHARS]


def _variable_parts(text: str) -> str:
    """Return text with "{id}" for its identifiers and "{n}" for its other numbers; a version such as 5.2 stays."""
    if VERSION.fullmatch(text) and not DOTTED_DATE.fullmatch(text):
        return text
    return NUMBER.sub("{n}", IDENTIFIER.sub("{id}", text))
