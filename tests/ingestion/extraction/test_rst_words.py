"""Every word that a page of reStructuredText shows is in its Markdown, wherever it stands, and no syntax is."""

from __future__ import annotations

import re
from textwrap import indent

import pytest

from ingestion.extraction.rst import reader
from tests.support.words import lost_words

# What is written → the words that a reader sees.
SHOWN = {
    "plain *slanted* **bold** ``fixed``": "plain slanted bold fixed",
    "`cited` :sup:`up` :sub:`down` :math:`x^2 \\le y` :strong:`firm`": "cited up down x 2 le y firm",
    ":unknown:`some words` :py:func:`a.run` :kbd:`Ctrl` :file:`a/{b}.c`": "some words a run Ctrl a b c",
    ":class:`Glued`s :ref:`shown <label>` trailing`:unknown:": "Glued s shown trailing unknown",
    "`link <https://a.example>`_ named_ `two words`__ [1]_ lost_": "link named two words 1 lost_",
    "*open ``open `open |open **open": "open open open open open",
    "|known| |unknown| \\*escaped\\*": "replaced unknown escaped",
    "- one\n- two\n\n  - three": "one two three",
    "* *\n\n  text": "text",
    "i. roman\nii. numbers\n\nb) letters\nc) more": "roman numbers letters more",
    "term : kind\n   meaning\nother\n   sense": "term kind meaning other sense",
    ":field: body\n:param int name: what\n:raises Cold: when": "field body int name what raises Cold when",
    "-a, --all=NAME  what\n/V  slash": "a all NAME what V slash",
    "| one\n|    two\n| three": "one two three",
    "text::\n\n   code here": "text code here",
    "text::\n\n> quoted\n> code": "text quoted code",
    ">>> shell\nanswer": "shell answer",
    "   quotation\n\n   -- somebody": "quotation somebody",
    "+-----+-----+\n| a   | b   |\n+=====+=====+\n| c spans   |\n+-----+-----+\n"
    "| d   | e   |\n|     +-----+\n|     | f   |\n+-----+-----+":
        "a b c spans d e f",
    "+---+---+\n| a | wide |\n+---+---+": "a wide",
    "=== ===\na   b\n=== ===\n  1 2\n    3\n=== ===": "a b 1 2 3",
    "=== ===\na   no border": "a no border",
    "== ==\nin the margin\n== ==": "in the margin",
    ".. list-table:: name\n\n   * - a\n     - b\n   * -\n     - c\n\n       d": "name a b c d",
    ".. csv-table:: name\n   :header: h1, h2\n   :delim: ;\n\n   \"a ; b\"; c\n   d": "name h1 h2 a b c d",
    ".. csv-table::\n   :escape: \\\n\n   \"a \\\" b\", c": "a b c",
    ".. table:: name\n\n   == ==\n   a  b\n   == ==": "name a b",
    ".. note:: beside\n   below\n\n   after": "note beside below after",
    ".. warning::\n   :class: big\n   text": "warning text",
    ".. admonition:: a title\n\n   text": "a title text",
    ".. versionadded:: 1.2\n   text": "new in version 1 2 text",
    ".. deprecated:: 3.4 text\n\n   - more": "deprecated since version 3 4 text more",
    ".. seealso:: this": "see also this",
    ".. code-block:: python\n   :caption: name\n\n   print(words)": "name print words",
    ".. math:: a = b\n\n   c": "a b c",
    ".. code::\n   at once": "at once",
    ".. parsed-literal::\n\n   *slanted* :unknown:`role` |known|": "slanted role replaced",
    ".. figure:: a.png\n   :alt: instead\n\n   caption\n\n   legend": "instead caption legend",
    ".. image:: a.png\n   :alt: one\n.. image:: b.png\n   :alt: two": "one two",
    ".. only:: html\n\n   text": "text",
    ".. container:: name\n\n   text": "text",
    ".. hlist::\n   :columns: 2\n\n   * a\n   * b": "a b",
    ".. tabs::\n\n   .. tab:: name\n\n      text\n\n   .. code-tab:: py other\n\n      code": "name text other code",
    ".. tab-set::\n\n   .. tab-item:: name\n      :sync: x\n\n      text": "name text",
    ".. dropdown:: name\n\n   text": "name text",
    ".. grid:: 2\n\n   .. card:: name\n      :link: x\n\n      head\n      ^^^\n      text\n      +++\n      foot":
        "name head text foot",
    ".. glossary::\n\n   one\n   two : key\n      meaning\n\n   three\n      sense": "one two meaning three sense",
    ".. function:: run(a, b)\n              run(c)\n\n   :param a: what": "run a b run c a what",
    ".. py:class:: Pot\n\n   .. attribute:: size\n\n      how": "Pot size how",
    ".. data:: X\n   :type: int\n   :value: 3\n\n   text": "X type int value 3 text",
    ".. sidebar:: name\n   :subtitle: below\n\n   text": "name below text",
    ".. autoclass:: a.Pot\n   :members:\n\n   text": "a Pot text",
    ".. automodule:: kitchen": "kitchen",
    ".. autosummary::\n   :toctree:\n\n   ~a.b\n   c": "a b c",
    ".. describe:: thing\n\n   text": "thing text",
    ".. envvar:: POT\n\n   text": "POT text",
    ".. unknown:: beside\n   :title: title\n   :width: 3\n\n   text": "beside title text",
    ".. unknown::\n\n   text": "text",
    ".. raw:: html\n\n   <p>text <b>bold</b></p>": "text bold",
    ".. _malformed target": "malformed target",
    ".. [2] foot\n.. [#] note\n.. [Name] cited": "2 foot note Name cited",
    ".. rubric:: text": "text",
    ".. topic:: name\n\n   text": "name text",
    ".. epigraph::\n\n   text": "text",
    ".. math::\n   :label: x\n\n   a": "a",
    ".. productionlist::\n   a: b": "a b",
    "text\n  unexpected\n more": "text unexpected more",
    "Title\n=====": "title",
    "==\nTitle\n==": "title",
    "=======\nTitle\n====": "title",
    "Title longer than the line\n======": "title longer than the line",
}  # fmt: skip
AROUND = [
    "{}", "- {}", "#. {}", ":field: {}", "term\n   {}", "| x\n\n   {}", ".. note::\n\n   {}", ".. unknown::\n\n   {}",
    ".. function:: f\n\n   {}", ".. list-table::\n\n   * - {}\n     - x", ".. [3] {}", ".. tab:: x\n\n   {}",
]  # fmt: skip
DEFINED = "\n\n.. |known| replace:: replaced\n.. _named: https://b.example\n__ https://c.example\n"

_SYNTAX = re.compile(r"(?m)^ *\.\. \w|:[a-z]+:`\w|`_|\|\w+\||System Message|^ *[+][-=+]+[+]|^ *=+ =")
_OPEN = re.compile(r"open |trailing`")


@pytest.mark.parametrize("written", SHOWN)
def test_no_word_that_a_page_shows_is_lost_and_no_syntax_is_left(written: str) -> None:
    for around in AROUND:
        width = len(around.partition("{}")[0].rpartition("\n")[2])
        text = around.replace("{}", indent(written, " " * width)[width:]) + DEFINED
        markdown = reader.read("https://docs.example/a", f"Page\n####\n\n{text}").markdown
        assert not lost_words(SHOWN[written], markdown), markdown
        assert _OPEN.search(written) or not _SYNTAX.search(markdown), markdown
