"""The states of docutils' parser, changed so that no input is an error, deep or slow, and no registry is asked.

Titles become headings without sections around them, directives are those of ``directives``, and options may be any.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import takewhile
from types import SimpleNamespace
from typing import Any

from docutils import nodes
from docutils.parsers.rst import states

from ingestion.extraction.rst.directives import directive_for
from ingestion.extraction.rst.page import Page

# Deeper text is kept as it is written. Real pages stay below ten levels; a level takes up to 16 Python frames, and 1000
# are allowed.
MAX_NESTED = 25
# docutils copies the rest of a text for each list and each explicit mark in it: a longer one is read in parts.
PIECE_LINES = 5_000
# docutils copies the rest of a quotation for each attribution in it: a longer one has none.
MAX_QUOTATION_LINES = 1_000

_OPTION = re.compile(r":([\w-]{1,60}):(?:[ ]+(.*))?$")
_ADORNMENT = re.compile(r"([!-/:-@\[-`{-~])\1{2,} *$")


def pieces(lines: Any) -> Iterator[tuple[int, int]]:
    """Yield where the parts of a text begin and end; a text of usual length is one part."""
    start = 0
    while len(lines) - start > 2 * PIECE_LINES and (end := _seam(lines, start + PIECE_LINES)):
        yield start, end
        start = end
    yield start, len(lines)


def _seam(lines: Any, start: int) -> int:
    """Return the next line of a title, or else the next line that begins a block; 0 if there is none."""
    first = 0
    for at in range(start, len(lines) - 1):
        if first and at >= start + PIECE_LINES:
            break
        if lines[at - 1].strip() or not lines[at][:1].strip():
            continue
        if _ADORNMENT.match(lines[at]) or _ADORNMENT.match(lines[at + 1]):
            return at
        first = first or at
    return first


def _directive(state: Any, match: Any) -> Any:
    """Return (elements, whether a blank line follows) of the directive that begins at ``match``, as ``state`` reads it.

    docutils' table of constructs holds its own method, which no subclass can replace.
    """
    return state.directive(match)


class _NestedText(states.NestedStateMachine):  # type: ignore[misc]
    """Reads the texts of a page's elements, one after another."""

    ready_for: Any = None

    def runtime_init(self) -> None:
        """Prepare the states for the page, once; docutils does so for each text, a twentieth of the time."""
        if self.ready_for is not self.memo:
            super().runtime_init()
            self.ready_for = self.memo

    def attach_observer(self, observer: Any) -> None:
        """Do nothing, so that docutils does not report the position of every line to the document."""


class _State:
    """What all states of docutils' parser do otherwise here."""

    nested_sm = _NestedText
    explicit = SimpleNamespace(
        patterns=states.Body.explicit.patterns,
        constructs=[
            (_directive if method is states.Body.directive else method, pattern)
            for method, pattern in states.Body.explicit.constructs
        ],
    )

    def __init__(self, state_machine: Any, debug: bool = False) -> None:
        super().__init__(state_machine, debug)  # type: ignore[call-arg]
        self.nested_sm_kwargs = {"state_classes": STATES, "initial_state": "Body"}

    def runtime_init(self: Any) -> None:
        """Take the page's document and inliner, and let nested texts reuse the idle parsers of this page.

        docutils has one list of idle parsers for the whole process.
        """
        super().runtime_init()  # type: ignore[misc]
        self.nested_sm_cache = self.inliner.idle["Body"]

    def nested_list_parse(
        self: Any,
        block: Any,
        input_offset: int,
        node: Any,
        initial_state: str,
        blank_finish: bool,
        blank_finish_state: str = "",
        extra_settings: dict[str, Any] | None = None,
    ) -> tuple[int, bool]:
        """Parse the rest of a list into ``node``; return the offset after it, and whether it ends with a blank line.

        Reuse the parser of an earlier list: docutils makes one for each list, which takes 300 µs.
        """
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
        """Parse the text of an element into ``node``, headings included, and return the offset after it.

        A text that is nested too deeply is added as it is written.
        """
        page: Page = self.inliner.page
        if page.nested >= MAX_NESTED:
            text = "\n".join(block)
            node += nodes.paragraph(text, "", nodes.Text(text))
            return input_offset + len(block)
        page.nested += 1
        end = input_offset
        for start, stop in [(0, len(block))] if machine else pieces(block):
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
        """Parse what begins with two dots; a malformed construct, to docutils a comment, becomes a paragraph."""
        found, blank_finish = super().explicit_construct(match)  # type: ignore[misc]
        if [type(node) for node in found] == [nodes.comment, nodes.system_message]:
            text = found[0].astext().lstrip("_")
            found = [nodes.paragraph(text, text)]
        return found, blank_finish

    def comment(self: Any, match: Any) -> tuple[list[Any], bool]:
        """Skip a comment; an empty one ends at once."""
        if not match.string[match.end() :].strip() and self.state_machine.is_next_line_blank():
            return [nodes.comment()], True
        lines, *_, blank_finish = self.state_machine.get_first_known_indented(match.end())
        text = "\n".join(lines)
        self.inliner.page.dropped.add("comment", text)
        return [nodes.comment(text, text)], blank_finish

    def directive(self: Any, match: Any, **presets: Any) -> Any:
        """Read a directive, and return (its elements, whether a blank line follows); no name is unknown.

        ``match`` holds its name; ``presets`` are its options where the text does not set them.
        """
        name = match.group(1).lower()
        return self.run_directive(directive_for(name), match, name, presets)

    def parse_directive_block(
        self, indented: Any, line_offset: int, directive: Any, presets: dict[str, str]
    ) -> tuple[list[str], dict[str, str], Any, int]:
        """Return the argument, the options and the content of a directive; other lines belong to the content."""
        if indented and not indented[0].strip():
            indented.trim_start()
            line_offset += 1
        blank = next((at for at, line in enumerate(indented) if not line.strip()), len(indented))
        start = next((at for at in range(blank) if _OPTION.match(indented[at].lstrip())), blank)
        options, end = _options(indented, start, blank)
        content, arguments = indented[end:], []
        if not directive.optional_arguments:
            content = indented[:start] + content
        elif start:
            arguments = ["\n".join(indented[:start])]
        while content and not content[-1].strip():
            content.trim_end()
        while content and not content[0].strip():
            content.trim_start()
        return arguments, presets | options, content, line_offset + end

    def isolate_simple_table(self: Any) -> Any:
        """Return the lines of a simple table, as docutils does, but none for a border without a second one.

        For such a border docutils takes all that follows.
        """
        lines, start = self.state_machine.input_lines, self.state_machine.line_offset
        is_border = self.simple_table_border_pat.match
        end = next((at for at in range(start + 1, len(lines)) if is_border(lines[at])), 0)
        if not end or (len(lines[end].strip()) != len(lines[start].strip()) and not all(lines[start:end])):
            return [], [], True
        return super().isolate_simple_table()  # type: ignore[misc]

    def split_attribution(self: Any, indented: Any, line_offset: int) -> Any:
        """Return (lines of a quotation, its attribution, that one's position, the lines after it, their offset).

        All but the first are None if there is no attribution, or if there are more than MAX_QUOTATION_LINES lines.
        """
        if len(indented) > MAX_QUOTATION_LINES:
            return indented, None, None, None, None
        return super().split_attribution(indented, line_offset)  # type: ignore[misc]

    def disallowed_inside_substitution_definitions(self, node: Any) -> str:
        """Return an empty string: every element may stand in the definition of a substitution."""
        return ""

    def nest_line_block_lines(self, block: Any) -> None:
        """Leave the lines of a block beside one another: nesting them takes a Python frame for each."""


def _options(lines: Any, start: int, stop: int) -> tuple[dict[str, str], int]:
    """Return the options of a directive in the lines from ``start`` to ``stop``, and the line after the last of them.

    A line that is indented deeper continues the option above it.
    """
    options: dict[str, str] = {}
    name = ""
    indent = len(lines[start]) - len(lines[start].lstrip()) if start < stop else 0
    at = start
    while at < stop and ((option := _OPTION.match(lines[at][indent:])) or lines[at][indent:].startswith(" ")):
        name = option[1].lower() if option else name
        options[name] = option[2] or "" if option else f"{options[name]}\n{lines[at].strip()}"
        at += 1
    return options, at


def _is_label(node: Any) -> bool:
    """Return whether an element is a target that marks a place on this page, no address and no other name."""
    return isinstance(node, nodes.target) and not node.hasattr("refuri") and not node.hasattr("refname")


STATES = tuple(type(state.__name__, (_State, state), {}) for state in states.state_classes)
