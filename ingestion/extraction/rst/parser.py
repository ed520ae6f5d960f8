"""Text → a document tree of docutils, in bounded time and depth, and with every word that is not a comment.

In: text and the state of its page. Out: docutils' document, before any transform, so that references are unresolved.
Headings are ``title`` elements between the blocks, not sections around them: titles in a wrong order are titles still.
Unknown directives, roles and options are no errors; a start of markup that nothing ends is text.
Reads no file and no configuration, prints nothing, and leaves docutils' registries alone.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from itertools import takewhile
from types import SimpleNamespace
from typing import Any

from docutils import frontend, nodes, statemachine, utils
from docutils.parsers.rst import Parser, states

from ingestion.extraction.rst import roles
from ingestion.extraction.rst.directives import directive_for
from ingestion.extraction.rst.page import Page

# Deeper text is kept as it is written. Real pages stay below ten levels; a level takes up to 16 Python frames, and 1000
# are allowed.
MAX_NESTED = 25
# docutils copies the rest of a paragraph for each piece of markup in it: a longer one is read in parts.
MAX_INLINE_CHARS = 8_000
# An element within a line takes 30 µs, so that of markup alone a megabyte would take ten seconds. Dense tables of names
# have one for ten characters.
LEAST_ROOM, CHARS_PER_ELEMENT = 10_000, 20
# docutils copies the rest of a text for each list and each explicit mark in it: a longer one is read in parts.
PIECE_LINES = 5_000
# docutils copies the rest of a quotation for each attribution in it: a longer one has none.
MAX_QUOTATION_LINES = 1_000
# Ids that docutils makes up begin with this, which no id made of words contains. Sphinx's differ.
MADE_UP = "made-up:"
# No message is printed and none stops the reading; no file is read.
SETTINGS = {
    "file_insertion_enabled": False,
    "raw_enabled": False,
    "_disable_config": True,
    "report_level": 5,
    "halt_level": 6,
    "warning_stream": False,
    "auto_id_prefix": MADE_UP,
}

_OPTION = re.compile(r":([\w-]{1,60}):(?:[ ]+(.*))?$")
_ADORNMENT = re.compile(r"([!-/:-@\[-`{-~])\1{2,} *$")
_PART = re.compile(rf"(?s).{{1,{MAX_INLINE_CHARS}}}(?=\s|\Z)|.{{1,{MAX_INLINE_CHARS}}}")
# No name is as long; docutils tries each start of it.
_LONG_WORD = re.compile(r"([\w.+:-]{300,})")
_LONG_GAP = re.compile(r"\s{80,}")
# A role that is not set off from the word after it is none to docutils.
_GLUED_ROLE = re.compile(r":([A-Za-z][\w.+:-]{0,40}):`([^`\x00]+)`")


def parse(text: str, page: Page) -> Any:
    """Return the document tree of a text."""
    document = utils.new_document("", _settings().copy())
    lines = statemachine.string2lines(text, 8, convert_whitespace=True)
    inliner = Inliner(page, len(text))
    for start, end in _pieces(lines):
        machine = states.RSTStateMachine(state_classes=STATES, initial_state="Body")
        machine.run(lines[start:end], document, start, inliner=inliner)
    return document


def _pieces(lines: Any) -> Iterator[tuple[int, int]]:
    """Yield where parts of a long text begin and end: before a title, or else before a line after a blank one."""
    start = 0
    while len(lines) - start > 2 * PIECE_LINES:
        rest = range(start + PIECE_LINES, len(lines) - 1)
        begins = (at for at in rest if not lines[at - 1].strip() and lines[at][:1].strip())
        first = next(begins, 0)
        near = (at for at in (first, *begins) if _ADORNMENT.match(lines[at]) or _ADORNMENT.match(lines[at + 1]))
        title = next(takewhile(lambda at: at < start + 2 * PIECE_LINES, near), 0)
        if not first:
            break
        yield start, title or first
        start = title or first
    yield start, len(lines)


@cache
def _settings() -> Any:
    settings = frontend.get_default_settings(Parser)
    for name, value in SETTINGS.items():
        setattr(settings, name, value)
    return settings


@cache
def _patterns() -> dict[str, re.Pattern[str]]:
    """Return the patterns of markup within paragraphs, which depend on settings."""
    inliner = states.Inliner()
    inliner.init_customizations(_settings())
    return vars(inliner.patterns)


class _EndOfMarkup:
    """A pattern for the end of a kind of markup. What was sought in vain is not sought again in the same text."""

    def __init__(self, pattern: re.Pattern[str]) -> None:
        self.pattern = pattern
        self.absent_in = 0

    def search(self, rest: str) -> re.Match[str] | None:
        if len(rest) <= self.absent_in:
            return None
        found = self.pattern.search(rest)
        if not found:
            self.absent_in = len(rest)
        return found


def _text_if_problematic(method: Any) -> Any:
    """Return a method of the inliner that makes text of markup that docutils would show as an error."""

    def dispatched(inliner: Any, match: Any, lineno: int) -> Any:
        before, inlines, remaining, _ = method(inliner, match, lineno)
        if inlines and isinstance(inlines[0], nodes.problematic):
            return before + inlines[0].rawsource, [], remaining, []
        return before, inlines, remaining, []

    return dispatched


class Inliner(states.Inliner):  # type: ignore[misc]
    """Reads the markup within paragraphs of one page."""

    ENDS = ("emphasis", "strong", "interpreted_or_phrase_ref", "literal", "target", "substitution_ref")
    dispatch = {mark: _text_if_problematic(method) for mark, method in states.Inliner.dispatch.items()}

    def __init__(self, page: Page, chars: int) -> None:
        super().__init__()
        self.page = page
        self._room = LEAST_ROOM + chars // CHARS_PER_ELEMENT
        self.idle: defaultdict[str, list[Any]] = defaultdict(list)  # readers of nested text, by their first state
        self._ends: list[_EndOfMarkup] = []

    def init_customizations(self, settings: Any) -> None:
        patterns = _patterns()
        ends = {name: _EndOfMarkup(patterns[name]) for name in self.ENDS}
        self._ends = list(ends.values())
        self.patterns = SimpleNamespace(**patterns | ends)

    def parse(self, text: str, lineno: int, memo: Any, parent: Any) -> tuple[list[Any], list[Any]]:
        """Return the elements of a paragraph and no messages. Once the page has too many, text stays as it is written."""
        found: list[Any] = []
        for part in [text] if len(text) <= MAX_INLINE_CHARS else _PART.findall(text):
            for at, words in enumerate(_LONG_WORD.split(_LONG_GAP.sub(" ", part))):
                if at % 2 or self._room < 0:
                    found.append(nodes.Text(words))
                    continue
                for end in self._ends:
                    end.absent_in = 0
                elements, _ = super().parse(words, lineno, memo, parent)
                self._room -= len(elements)
                found += elements
        return found, []

    def interpreted(self, rawsource: str, text: str, role: str, lineno: int) -> tuple[list[Any], list[Any]]:
        return roles.shown(role or "", nodes.unescape(text), self.page), []

    def problematic(self, text: str, rawsource: str, message: Any) -> Any:
        return nodes.problematic(rawsource, text)

    def implicit_inline(self, text: str, lineno: int) -> list[Any]:
        """Return text between other markup. Addresses in it stay text; roles without a space after them are roles."""
        if "`" not in text:
            return [nodes.Text(text)] if text else []
        found: list[Any] = []
        end = 0
        for match in _GLUED_ROLE.finditer(text):
            found += [nodes.Text(text[end : match.start()]), *roles.shown(match[1], match[2], self.page)]
            end = match.end()
        return [*found, nodes.Text(text[end:])]


class _NestedText(states.NestedStateMachine):  # type: ignore[misc]
    """Reads the text of an element."""

    def attach_observer(self, observer: Any) -> None:
        """Tell nobody of each line."""


class _State:
    """What all states of docutils' parser do otherwise here."""

    nested_sm = _NestedText
    explicit = SimpleNamespace(
        patterns=states.Body.explicit.patterns,
        constructs=[
            (lambda state, match: state.directive(match), pattern) if method is states.Body.directive else (method, pattern)
            for method, pattern in states.Body.explicit.constructs
        ],
    )

    def __init__(self, state_machine: Any, debug: bool = False) -> None:
        super().__init__(state_machine, debug)  # type: ignore[call-arg]
        self.nested_sm_kwargs = {"state_classes": STATES, "initial_state": "Body"}

    def runtime_init(self: Any) -> None:
        super().runtime_init()  # type: ignore[misc]
        self.nested_sm_cache = self.inliner.idle["Body"]

    def nested_list_parse(
        self: Any, block: Any, input_offset: int, node: Any, initial_state: str, blank_finish: bool,
        blank_finish_state: str = "", extra_settings: dict[str, Any] | None = None,
    ) -> tuple[int, bool]:
        """Read the rest of a list. Its reader is used again: docutils makes one for each list, which takes 300 µs."""
        idle = self.inliner.idle[initial_state]
        machine = idle.pop() if idle else _NestedText(STATES, initial_state)
        last = machine.states[blank_finish_state or initial_state]
        last.blank_finish = blank_finish
        vars(machine.states[initial_state]).update(extra_settings or {})
        machine.run(block, input_offset, memo=self.memo, node=node)
        idle.append(machine)
        return machine.abs_line_offset(), last.blank_finish

    def nested_parse(
        self: Any, block: Any, input_offset: int, node: Any, match_titles: bool = True, **machine: Any
    ) -> int:
        """Read the text of an element into ``node``, headings included; as it is written if it is nested too deeply."""
        page: Page = self.inliner.page
        if page.nested >= MAX_NESTED:
            text = "\n".join(block)
            node += nodes.paragraph(text, "", nodes.Text(text))
            return input_offset + len(block)
        page.nested += 1
        end = input_offset
        for start, stop in [(0, len(block))] if machine else _pieces(block):
            part = block if stop - start == len(block) else block[start:stop]
            end = super().nested_parse(part, input_offset + start, node, True, **machine)  # type: ignore[misc]
        page.nested -= 1
        return end

    def section(self: Any, title: str, source: str, style: object, lineno: int, messages: Any) -> None:
        """Add a heading, with the labels before it."""
        page: Page = self.inliner.page
        words, _ = self.inline_text(title, lineno)
        heading = nodes.title(title, "", *words, level=page.level_of(style))
        heading["names"].append(nodes.fully_normalize_name(heading.astext()))
        self.document.note_implicit_target(heading)
        labels = list(takewhile(_is_label, reversed(self.parent.children)))
        heading["labels"] = [name for label in labels for name in label["ids"]]
        page.titles.update({name: heading for label in labels for name in label["names"]})
        self.parent += heading

    def explicit_construct(self: Any, match: Any) -> tuple[list[Any], bool]:
        """Read what begins with two dots. A malformed construct, which docutils takes for a comment, is text."""
        found, blank_finish = super().explicit_construct(match)  # type: ignore[misc]
        if [type(node) for node in found] == [nodes.comment, nodes.system_message]:
            text = found[0].astext()
            found = [nodes.paragraph(text, text)]
        return found, blank_finish

    def comment(self: Any, match: Any) -> tuple[list[Any], bool]:
        """Skip a comment; an empty one ends at once."""
        if not match.string[match.end() :].strip() and self.state_machine.is_next_line_blank():
            return [nodes.comment()], True
        lines, *_, blank_finish = self.state_machine.get_first_known_indented(match.end())
        text = "\n".join(lines)
        return [nodes.comment(text, text)], blank_finish

    def directive(self: Any, match: Any, **presets: Any) -> Any:
        name = match.group(1).lower()
        return self.run_directive(directive_for(name), match, name, presets)

    def parse_directive_block(
        self, indented: Any, line_offset: int, directive: Any, presets: dict[str, Any]
    ) -> tuple[list[str], dict[str, Any], Any, int]:
        """Return the arguments, options and content of a directive; lines that are no options belong to the content."""
        if indented and not indented[0].strip():
            indented.trim_start()
            line_offset += 1
        blank = next((i for i, line in enumerate(indented) if not line.strip()), len(indented))
        start = next((i for i in range(blank) if _OPTION.match(indented[i])), blank)
        options, end = _options(indented, start, blank, directive.option_spec or {})
        content, arguments = indented[end:], []
        if not (directive.required_arguments or directive.optional_arguments):
            content = indented[:start] + content
        elif start:
            arguments = ["\n".join(indented[:start])]
        while content and not content[-1].strip():
            content.trim_end()
        while content and not content[0].strip():
            content.trim_start()
            end += 1
        return arguments, presets | options, content, line_offset + end

    def isolate_simple_table(self: Any) -> Any:
        """Find the lines of a table. A line above what is none is skipped: docutils takes all up to the next such line."""
        lines, start = self.state_machine.input_lines, self.state_machine.line_offset
        is_border = self.simple_table_border_pat.match
        end = next((at for at in range(start + 1, len(lines)) if is_border(lines[at])), 0)
        if not end or (len(lines[end].strip()) != len(lines[start].strip()) and not all(lines[start:end])):
            return [], [], True
        return super().isolate_simple_table()  # type: ignore[misc]

    def split_attribution(self: Any, indented: Any, line_offset: int) -> Any:
        if len(indented) > MAX_QUOTATION_LINES:
            return indented, None, None, None, None
        return super().split_attribution(indented, line_offset)  # type: ignore[misc]

    def disallowed_inside_substitution_definitions(self, node: Any) -> str:
        return ""

    def nest_line_block_lines(self, block: Any) -> None:
        """Leave the lines of a block beside one another: nesting them takes a Python frame for each."""


def _options(lines: Any, start: int, stop: int, spec: Any) -> tuple[dict[str, Any], int]:
    """Return the options that begin at ``start`` and where they end; those that are unknown or wrong are left out."""
    written: dict[str, str] = {}
    name = ""
    at = start
    while at < stop and ((option := _OPTION.match(lines[at])) or lines[at].startswith(" ")):
        if option:
            name = option[1].lower()
        written[name] = option[2] or "" if option else f"{written[name]}\n{lines[at].strip()}"
        at += 1
    options: dict[str, Any] = {}
    for name, value in written.items():
        try:
            options[name] = spec[name](value.strip() or None)
        except (KeyError, ValueError, TypeError):
            continue
    return options, at


def _is_label(node: Any) -> bool:
    return isinstance(node, nodes.target) and not node.hasattr("refuri") and not node.hasattr("refname")


STATES = tuple(type(state.__name__, (_State, state), {}) for state in states.state_classes)
