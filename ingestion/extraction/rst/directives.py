"""The directives of docutils, of Sphinx and of its common extensions, by name: which words each shows.

In: the argument, options and content of a directive, as docutils' parser found them. Out: elements of docutils'
document tree: boxes become a title and their content, code keeps its language, files that a directive includes are
named by a line. The words of an unknown directive are kept: its argument, its content, and the options that hold a
title. Nothing is registered with docutils, whose registry serves the whole process.
"""

from __future__ import annotations

from typing import Any

from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.parsers.rst.directives import unicode_code

from ingestion.extraction.rst.directive import SHOWN_OPTIONS, Highlight, ShownDirective, code, label, paragraph
from ingestion.extraction.rst.objects import Glossary, Object, Signature, Target
from ingestion.extraction.rst.sphinx_objects import MODULES, is_object
from ingestion.extraction.rst.tables import CsvTable, ListTable

# Directive → its language; None: that of the page.
CODE: dict[str, str | None] = {
    "code": None, "code-block": None, "sourcecode": None, "code-cell": None, "cli": "console", "console": "console",
    "digraph": "dot", "doctest": "pycon", "graph": "dot", "graphviz": "dot", "ipython": "pycon",
    "jupyter-execute": "python", "literal-block": "", "math": "math", "mermaid": "mermaid", "plantuml": "plantuml",
    "plot": "python", "productionlist": "", "prompt": "console", "pull-code": None, "testcode": "python",
    "testoutput": "", "uml": "plantuml", "versioned-code": None,
}  # fmt: skip
CODE_BESIDE = {"math", "productionlist"}  # the argument is the first line of what they show
LABELS = {
    "versionadded": "New in version",
    "versionchanged": "Changed in version",
    "versionremoved": "Removed in version",
    "deprecated": "Deprecated since version",
    "deprecated-removed": "Deprecated since version",
    "soft-deprecated": "Soft deprecated since version",
    "seealso": "See also",
}
NOTES = {"note", "warning", "tip", "hint", "important", "caution", "danger", "attention", "error", "todo", "seealso"}
VERSIONS = {
    "versionadded", "versionchanged", "versionremoved", "deprecated", "deprecated-removed", "soft-deprecated",
}  # fmt: skip
TITLED = {
    "admonition", "card", "centered", "details", "dropdown", "grid-item-card", "grid-item", "group-tab", "rubric",
    "sidebar", "tab", "tab-item", "topic",
}  # fmt: skip
CONTAINERS = {"container", "cssclass", "div", "grid", "ifconfig", "only", "rst-class"}
# Those without an argument: what stands beside the name belongs to the content.
BARE_CONTAINERS = {
    "compound", "epigraph", "footer", "header", "highlights", "hlist", "line-block", "parsed", "pull-quote", "tab-set",
    "tab-set-code", "tabs",
}  # fmt: skip
# Directives with a signature that get no heading.
SIGNATURES = {"describe", "object", "opcode", "pdbcommand", "token"}
TARGETS = {"fieldlookup", "setting", "templatefilter", "templatetag"}
# Directive → the rule by which its words are left out.
DROPPED = {
    "toctree": "list of pages",
    "contents": "list of pages",
    "tableofcontents": "list of pages",
    "index": "index entry",
    "bibliography": "name of a bibliography",
    "codeauthor": "author of a page",
    "sectionauthor": "author of a page",
    "moduleauthor": "author of a page",
    "meta": "description for search engines",
    "testcleanup": "code that a page does not show",
    "testsetup": "code that a page does not show",
    **dict.fromkeys(
        (
            "c:namespace", "c:namespace-pop", "c:namespace-push", "cpp:namespace", "cpp:namespace-pop",
            "cpp:namespace-push", "date", "default-domain", "inheritance-diagram", "js:module", "sectnum",
            "tabularcolumns", "target-notes", "title",
        ),
        "instruction to the build",
    ),
}  # fmt: skip


# Options of these that hold words.
WORDY_OPTIONS = {*SHOWN_OPTIONS, "description", "keywords"}


class Code(ShownDirective):
    """A block of code under its caption."""

    def run(self) -> list[Any]:
        """Return the caption as a paragraph, if there is one, and a block of code.

        The first word of the argument is the language unless the directive sets one, and the rest of its line is left
        out. For a directive in ``CODE_BESIDE``, or without other lines, that line is code. None as the language means
        the page's.
        """
        language = CODE[self.name]
        beside, _, below = self.argument.partition("\n")
        lines = [*([below] if below else []), *self.content]
        if self.name in CODE_BESIDE or not lines:
            lines = [beside, *lines]
        elif language is None:
            language = beside.partition(" ")[0] or None
        text = "\n".join(lines).strip("\n")
        caption = [paragraph(self.words(self.options["caption"]))] if self.options.get("caption") else []
        return [*caption, nodes.literal_block(text, text, language=language)]


class CodeTab(ShownDirective):
    """A block of code in a tab: its argument is the language and the tab's title."""

    def run(self) -> list[Any]:
        """Return the tab's title, or else its language, in bold, and the other lines as a block of code."""
        beside, _, below = self.argument.partition("\n")
        language, _, title = beside.partition(" ")
        text = "\n".join([*([below] if below else []), *self.content])
        return [label([nodes.Text(title or language)]), nodes.literal_block(text, text, language=language)]


class ParsedLiteral(ShownDirective):
    optional_arguments = 0

    def run(self) -> list[Any]:
        """Return the content as a block without a language, the inline markup in it read; an empty list without any."""
        text = "\n".join(self.content)
        return [nodes.literal_block(text, "", *self.words(text), language="")] if text else []


class Note(ShownDirective):
    """A box that is named by its kind; what stands beside the name belongs to the text."""

    optional_arguments = 0

    def run(self) -> list[Any]:
        """Return the name of the note in bold, then its content."""
        return [label([nodes.Text(LABELS.get(self.name, self.name.capitalize()))]), *self.parsed()]


class Titled(ShownDirective):
    """A box that is named by its argument."""

    def run(self) -> list[Any]:
        """Return the argument in bold, if there is one, then the options that a reader sees and the content.

        Lines that part the head and foot of a card are made empty in ``content``.
        """
        if self.name.endswith("card"):  # lines that part its head and foot from its body
            self.content.data = ["" if line in ("^^^", "+++") else line for line in self.content.data]
        return [*([label(self.words(self.argument))] if self.argument else []), *self.captions(), *self.parsed()]


class Version(ShownDirective):
    """A remark on a version, which begins with its label."""

    def run(self) -> list[Any]:
        """Return the remark, its first paragraph begun with its label and version in bold: "New in version 1.2:".

        The argument's first word is the version, of ``deprecated-removed`` the second that of the removal; the others
        are the first paragraph. If the remark begins with no paragraph, the label is a title above it.
        """
        version, _, text = " ".join(self.argument.split()).partition(" ")
        if self.name == "deprecated-removed" and text:
            removal, _, text = text.partition(" ")
            version += f", removed in version {removal}"
        name = f"{LABELS[self.name]} {version}:"
        content = [*([paragraph(self.words(text))] if text else []), *self.parsed()]
        if not content or not isinstance(content[0], nodes.paragraph):
            return [label([nodes.Text(name)]), *content]
        content[0][:0] = [nodes.strong(name, name), nodes.Text(" ")]
        return content


class Container(ShownDirective):
    """Content that is shown as it is; the argument says where or how."""

    def run(self) -> list[Any]:
        """Return the elements of the content; the argument and the options are not shown."""
        return self.parsed()


class BareContainer(Container):
    """Content that is shown as it is, from the line of the name on."""

    optional_arguments = 0


class Dropped(ShownDirective):
    def run(self) -> list[Any]:
        """Return an empty element, and count the argument, the content and the options with words as words dropped."""
        options = [value for name, value in self.options.items() if name in WORDY_OPTIONS]
        self.page.dropped.add(DROPPED[self.name], " ".join([self.argument, *options, *self.content]))
        return [nodes.inline()]  # a name that stands for it is defined


class Picture(ShownDirective):
    """A picture: the words that stand for it, then those below it."""

    def run(self) -> list[Any]:
        """Return an image with the words of the option ``alt``, if there are any, and the elements of the content."""
        return [*([nodes.image(alt=self.options["alt"])] if self.options.get("alt") else []), *self.parsed()]


class File(ShownDirective):
    """A file that the build of a page puts here."""

    def run(self) -> list[Any]:
        """Return the options that a reader sees, and a paragraph that names the file in the argument, if there is one.

        The file is not read.
        """
        return [*self.captions(), *self.named("code" if self.name == "literalinclude" else "text", self.argument)]


class Include(File):
    def run(self) -> list[Any]:
        """Return a paragraph that names the file; for ``<…>``, let the page use HTML's names of characters instead.

        Returns an empty list in that case, and without an argument.
        """
        if self.argument.startswith("<"):  # the names of characters that come with docutils
            self.page.has_entities = True
            return []
        return super().run()


class Raw(ShownDirective):
    """Text in another format, which stands here or in a file."""

    def run(self) -> list[Any]:
        """Return the content as raw text in the format of the argument, or a paragraph that names the text's file.

        The options name the file or its address. It is not read, and the content is left out if there is one.
        """
        text = "\n".join(self.content)
        file = self.options.get("file") or self.options.get("url") or ""
        return self.named("text", file) if file else [nodes.raw(text, text, format=self.argument)]


class Setting(ShownDirective):
    """What later directives refer to: the language of code, a program, a module."""

    def run(self) -> list[Any]:
        """Note a program or module on the page, or return a mark for the language of code from here on.

        For a module, returns the content, under the module's name if it is an ``automodule``; for a program, an empty
        list. The argument ``None`` stands for no language, program or module.
        """
        named = "" if self.argument == "None" else self.argument
        if self.name.startswith("highlight"):
            return [Highlight(language=named.partition(" ")[0])]
        if self.name == "program":
            self.page.namespace.program = named
            return []
        self.page.namespace.module = named
        is_shown = self.name.endswith("automodule") and named
        return [*([paragraph([code(named)])] if is_shown else []), *self.parsed()]


class Role(ShownDirective):
    """A role that the page defines, or its default."""

    def run(self) -> list[Any]:
        """Note the role that the argument defines, or the default role, in the page's ``roles``; return an empty list.

        A role that is made of no other is ``inline``, one of ``raw`` is followed by its format. Other options are left
        out.
        """
        name, _, base = self.argument.lower().partition("(")
        base = " ".join([base.strip(") "), self.options.get("format", "")]).strip()
        if self.name == "default-role":
            self.page.roles[""] = name.strip()
        elif name.strip():
            self.page.roles[name.strip()] = base or "inline"
        return []


class Replacement(ShownDirective):
    """The words that stand for a name."""

    optional_arguments = 0

    def run(self) -> list[Any]:
        """Return the inline elements of the content."""
        return self.words("\n".join(self.content))


class Unicode(ShownDirective):
    """Characters by their codes, other words as they are."""

    def run(self) -> list[Any]:
        """Return one element with the words of the argument up to a comment, joined, the codes in it as characters."""
        shown = ""
        for word in f" {self.argument}".partition(" .. ")[0].split():
            try:
                shown += unicode_code(word)
            except ValueError:
                shown += word
        return [nodes.inline(shown, shown)]


class Names(ShownDirective):
    """A list of names with their summaries, which lie in the code."""

    optional_arguments = 0

    def run(self) -> list[Any]:
        """Return a bullet list of the content's lines as code, without a leading ``~``; an empty list without any."""
        names = [line.strip().lstrip("~") for line in self.content if line.strip()]
        items = [nodes.list_item("", paragraph([code(name)])) for name in names]
        return [nodes.bullet_list("", *items)] if items else []


class Unknown(ShownDirective):
    """A directive of whatever extension: the words of its argument, its titles and its content."""

    def run(self) -> list[Any]:
        """Return the argument as a paragraph, if there is one, then the options that a reader sees and the content."""
        beside = [paragraph(self.words(self.argument))] if self.argument else []
        return [*beside, *self.captions(), *self.parsed()]


_DIRECTIVES: dict[str, type[Directive]] = {
    **dict.fromkeys(CODE, Code),
    **dict.fromkeys(CONTAINERS, Container),
    **dict.fromkeys(BARE_CONTAINERS, BareContainer),
    **dict.fromkeys(NOTES, Note),
    **dict.fromkeys(TITLED, Titled),
    **dict.fromkeys(VERSIONS, Version),
    **dict.fromkeys(DROPPED, Dropped),
    **dict.fromkeys(("image", "figure"), Picture),
    **dict.fromkeys(("literalinclude", "mdinclude"), File),
    **dict.fromkeys(("highlight", "highlightlang", "program", *MODULES), Setting),
    **dict.fromkeys(("role", "default-role"), Role),
    "autosummary": Names,
    "code-tab": CodeTab,
    "include": Include,
    "parsed-literal": ParsedLiteral,
    "raw": Raw,
    "replace": Replacement,
    "unicode": Unicode,
    **dict.fromkeys(SIGNATURES, Signature),
    **dict.fromkeys(TARGETS, Target),
    "glossary": Glossary,
    "csv-table": CsvTable,
    "list-table": ListTable,
    "flat-table": ListTable,
    "table": Titled,
}


def directive_for(name: str) -> type[Directive]:
    """Return the class that shows the directive of this name."""
    return _DIRECTIVES.get(name) or (Object if is_object(name) else Unknown)
