"""Tags in Markdown → tags of HTML that the HTML reader knows: elements stay, components leave their words.

A name in angle brackets that is neither stays as it is written: people write ``<name>`` for "put yours here", and
``List<String>`` for a type. Elements whose content browsers do not show need their end, or they would hide the page.
"""

from __future__ import annotations

import re
from html import escape
from typing import NamedTuple

from markdown_it.rules_inline import StateInline

from ingestion.extraction.html.parser import UNSEEN
from ingestion.extraction.markdown.components import properties, shown
from ingestion.extraction.markdown.dialect import MAX_SEARCHES_IN_VAIN, Block, Page

ELEMENTS = {
    "a", "abbr", "address", "article", "aside", "audio", "b", "bdi", "bdo", "big", "blockquote", "body", "br", "button",
    "caption", "center", "cite", "code", "col", "colgroup", "dd", "del", "details", "dfn", "dialog", "div", "dl", "dt",
    "em", "embed", "fieldset", "figcaption", "figure", "font", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6",
    "head", "header", "hgroup", "hr", "html", "i", "img", "input", "ins", "kbd", "label", "legend", "li", "link",
    "main", "mark", "meta", "nav", "nobr", "noscript", "ol", "optgroup", "option", "p", "picture", "pre", "q", "rp",
    "rt", "ruby", "s", "samp", "search", "section", "small", "source", "span", "strike", "strong", "sub", "summary",
    "sup", "table", "tbody", "td", "tfoot", "th", "thead", "time", "tr", "tt", "u", "ul", "var", "video", "wbr",
    *UNSEEN,
}  # fmt: skip
VOID = {"br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "wbr"}
# They end where they say so, not at a blank line.
HIDING = UNSEEN | {"pre"}
# In MDX too their content is read as HTML.
# Attributes without a value; any other word in a tag of HTML means that it is none: "a <b and c> d".
_FLAGS = frozenset({
    "alt", "async", "autoplay", "checked", "class", "controls", "defer", "disabled", "hidden", "inline", "loop",
    "markdown", "multiple", "muted", "nowrap", "open", "playsinline", "readonly", "required", "reversed", "selected",
    "setup", "vertical", "allowfullscreen", "noshade", "border",
})  # fmt: skip
RAW = {"dl", "ol", "pre", "table", "ul"}
KEPT = {"align", "alt", "checked", "class", "colspan", "href", "id", "lang", "name", "role", "rowspan", "start", "type"}
# Longer tags are text.
MAX_TAG_CHARS, MAX_TAG_LINES = 6_000, 80
# After many that were not closed.
MAX_CHARS_IN_VAIN = 300

_BRACES = r"\{(?:[^{}]|\{(?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*\})*\}"
_TAG = re.compile(rf"""<(/?)([A-Za-z][\w.:-]*|(?=>))((?:[^<>"'{{}}]|"[^"]*"|'[^']*'|{_BRACES})*)>""")
_GIVEN = re.compile(rf"""[\w:.@-]*[ \t\n]*=[ \t\n]*(?:"[^"]*"|'[^']*'|{_BRACES}|[^\s"'{{}}]+)|{_BRACES}""")
_BARE = re.compile(r"(?<![\w:.@#-])\w+(?=[\s/]|$)")  # v-pre, :key and @click are Vue's
_NAME = re.compile(r"</?([A-Za-z][\w.:-]*)(?=[\s/>]|$)")
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
# Within ``pre``: no tag that code is written with.
_PLAIN_ANGLE = re.compile(r"<(?!/?(?:code|span|b|i|em|strong|a|br|kbd|samp|var|u|mark|div|font)\b[^<>]*>)")


class Tag(NamedTuple):
    """A tag; ``given`` is what stands after its name."""

    name: str
    is_end: bool
    given: str
    end: int

    @property
    def is_empty(self) -> bool:
        """Return whether the element has no content: ``<br>`` or ``<Icon />``."""
        return self.given.rstrip().endswith("/") or self.name in VOID


def tag_at(text: str, start: int, page: Page, *, stop: int | None = None) -> Tag | None:
    """Return the tag at ``start`` if it is one of an element or a component, else None; it ends before ``stop``."""
    end = min(len(text) if stop is None else stop, start + MAX_TAG_CHARS)
    if page.searches_in_vain > MAX_SEARCHES_IN_VAIN:
        end = min(end, start + MAX_CHARS_IN_VAIN)
    match = _TAG.match(text, start, end)
    if match is None:
        page.searches_in_vain += end == start + MAX_TAG_CHARS
        return None
    tag = Tag(match.group(2), bool(match.group(1)), match.group(3), match.end())
    before = text[start - 1 : start] if start else ""
    is_attached = not tag.is_end and (before.isalnum() or before == "_")
    return tag if _is_markup(tag, page, is_attached=is_attached) else None


def _is_markup(tag: Tag, page: Page, *, is_attached: bool) -> bool:
    """Return whether what looks like a tag is one, rather than text in angle brackets.

    ``is_attached``: it follows a word directly, as in ``List<String>``.
    """
    name = tag.name
    if is_element(name):
        if not _FLAGS.issuperset(_BARE.findall(_GIVEN.sub(" ", tag.given))):
            return False
        needs_end = is_attached or name.lower() in UNSEEN
        return not needs_end or name in VOID or tag.is_end or tag.is_empty or name in page.closed_tags
    if not name:  # <> and </> of JSX
        return page.is_jsx
    is_component = not name[0].islower() or "-" in name or "." in name or page.is_jsx
    if not is_component or is_attached:
        return is_component and "=" in tag.given
    return tag.is_end or tag.is_empty or "=" in tag.given or name in page.closed_tags


def is_element(name: str) -> bool:
    """Return whether browsers know the element; its name is in small letters, or all in capitals."""
    return name.lower() in ELEMENTS and (name.islower() or name.isupper())


# --- Blocks --------------------------------------------------------------------------------------------------


def read_tag_lines(block: Block, _: re.Match[str]) -> int:
    """Add lines of nothing but tags, between which Markdown stands; return the line after them, 0 if there are none."""
    for height in (1, MAX_TAG_LINES):
        if height > 1 and not block.page.may_search():
            return 0
        after = min(block.line + height, block.end)
        text = block.lines(block.line, after)
        found, position = _leading_tags(text, block.page)
        newline = text.find("\n", position)
        if found and not text[position : len(text) if newline < 0 else newline].strip():
            if height > 1:
                block.page.found()
            block.html("".join(_html_of(tag, in_line=False) for tag in found))
            return block.line + text.count("\n", 0, position) + 1
        if ">" in text[position:] and height == 1 and position:
            return 0
    return 0


def _leading_tags(text: str, page: Page) -> tuple[list[Tag], int]:
    """Return the tags at the start of a text, between which Markdown may stand, and where they end."""
    found: list[Tag] = []
    position = len(text) - len(text.lstrip())
    while text.startswith("<", position):
        tag = tag_at(text, position, page)
        if tag is None or not _holds_markdown(tag, page):
            break
        found.append(tag)
        position = tag.end
        while text.startswith((" ", "\t"), position):
            position += 1
    return found, position


def _holds_markdown(tag: Tag, page: Page) -> bool:
    """Return whether Markdown may follow a tag: one of a component, one in MDX, or one with the attribute ``markdown``.

    It may not after the tags of elements in ``RAW`` and ``UNSEEN``.
    """
    if not is_element(tag.name):
        return True
    name = tag.name.lower()
    return name not in RAW and name not in UNSEEN and (page.is_jsx or bool(re.search(r"\bmarkdown\b", tag.given)))


def begins_html(block: Block) -> bool:
    """Return whether the line begins with an element or a comment; a comment, ``pre`` and the like must have an end."""
    text = block.text_at(block.line)
    if text.startswith("<!--"):
        return "-->" in text or block.page.last_comment_end > block.state.bMarks[block.line]
    name = _NAME.match(text)
    if not name or not is_element(name.group(1)):
        return False
    return name.group(1).lower() not in HIDING or name.group(1) in block.page.closed_tags


def end_of_unseen(block: Block) -> int:
    """Return the line after a comment, ``pre`` or the like, which no blank line ends; 0 for others or with no end."""
    text = block.text_at(block.line)
    name = _NAME.match(text)
    if text.startswith("<!--"):
        end = re.compile("-->")
    elif name and name.group(1).lower() in HIDING and not text.startswith("</"):
        end = re.compile(rf"</{name.group(1)}\b", re.IGNORECASE)
    else:
        return 0
    return 1 + block.find(end, block.line)


# --- Lines ---------------------------------------------------------------------------------------------------


def inline_tag(state: StateInline, silent: bool) -> bool:
    """Add the HTML of a tag at the current position, or skip a comment; return whether there is one."""
    if state.src[state.pos] != "<":
        return False
    page: Page = state.env["page"]
    if state.src.startswith("<!--", state.pos):
        comment = _COMMENT.match(state.src, state.pos, state.posMax) if page.may_search() else None
        if comment:
            page.found()
            state.pos = comment.end()
        return bool(comment)
    tag = tag_at(state.src, state.pos, page, stop=state.posMax)
    if tag is None:
        return False
    if not silent:
        is_attached = state.src[tag.end : tag.end + 1].isalnum() or state.src.startswith("<", tag.end)
        space = " " if is_attached and not is_element(tag.name) else ""
        state.push("html_inline", "", 0).content = _html_of(tag, in_line=True) + space
        if tag.name == "a":
            state.linkLevel += -1 if tag.is_end else 1
    state.pos = tag.end
    return True


def rewritten(html: str, page: Page) -> str:
    """Return HTML with the words of components, without comments, and with what is no tag as text."""
    parts: list[str] = []
    position, last_comment, lowered = 0, html.rfind("-->"), html.lower()
    while (start := html.find("<", position)) >= 0:
        parts.append(html[position:start])
        if start < last_comment and html.startswith("<!--", start):
            position = html.find("-->", start) + len("-->")
            continue
        tag = tag_at(html, start, page)
        hides = tag is not None and tag.name.lower() in HIDING and not (tag.is_end or tag.is_empty)
        end = _find(lowered, f"</{tag.name.lower()}", tag.end, page) if tag and hides else -1
        if tag is None or (hides and end < 0):
            parts.append("&lt;")
            position = start + 1
            continue
        parts.append(_html_of(tag, in_line=True))
        position = max(tag.end, end)
        parts.append(_PLAIN_ANGLE.sub("&lt;", html[tag.end : position]))
    return "".join([*parts, html[position:]])


def _find(text: str, words: str, start: int, page: Page) -> int:
    """Return the position of ``words`` from ``start`` on; -1 if not found, or after too many searches in vain."""
    found = text.find(words, start) if page.may_search() else -1
    if found >= 0:
        page.found()
    return found


def _html_of(tag: Tag, *, in_line: bool) -> str:
    """Return a tag as HTML: an element with what the reader looks at, of a component its words."""
    name = tag.name.lower()
    if is_element(tag.name):
        if tag.is_end:
            return f"</{name}>"
        given = [(key.lower().replace("classname", "class"), value) for key, value in properties(tag.given)]
        kept = "".join(f' {key}="{escape(value)}"' for key, value in given if key in KEPT)
        return f"<{name}{kept}></{name}>" if tag.is_empty and name not in VOID else f"<{name}{kept}>"
    if "link" in name and name[0] != "/" and not tag.is_empty and "card" not in name:
        return "</a>" if tag.is_end else f'<a href="{escape(_address(tag))}">'
    if tag.is_end or not name:
        return ""
    seen = shown(tag.name, properties(tag.given))
    if in_line and not seen.title:
        return escape(f" {seen.words} " if seen.words else "", quote=False)
    found = seen.as_block(_address(tag))
    return f"</p>{found}<p>" if in_line and found else found


def _address(tag: Tag) -> str:
    """Return the address in the property ``href``, ``to`` or ``url`` of a tag; an empty string if it has none."""
    given = dict(properties(tag.given))
    return given.get("href") or given.get("to") or given.get("url") or ""
