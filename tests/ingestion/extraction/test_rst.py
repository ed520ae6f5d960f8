"""reStructuredText becomes Markdown: titles, objects, tables, directives, roles, and the fragments of Sphinx."""

from __future__ import annotations

from pathlib import Path

import pytest

from ingestion.extraction.extract import extract
from ingestion.extraction.rst import inline, parser, reader, states
from ingestion.types import Extracted, Page
from tests.support.growth import MOST, TIMES, calls


def read(body: str) -> Extracted:
    return extract(Page("file:///docs/page.txt", body.encode(), "text/x-rst"))


def rst(body: str) -> str:
    return read(body).markdown


def test_rst_titles_rank_by_order_of_appearance() -> None:
    text = (
        "====\nPots\n====\n\nIntro.\n\nLids\n----\n\n"
        "Knobs of ``iron``\n~~~~~~~~~~~~~~~~~\n\nRound.\n\nBase\n----\nFlat.\n"
    )
    assert rst(text) == "# Pots\n\nIntro.\n\n## Lids\n\n### Knobs of `iron`\n\nRound.\n\n## Base\n\nFlat."


def test_rst_titles_below_the_sixth_rank_are_of_the_sixth() -> None:
    text = "".join(f"Part {rank}\n{mark * 6}\n\n" for rank, mark in enumerate("=-~^'+#", 1))
    assert rst(f"{text}Words.").endswith("##### Part 5\n\n###### Part 6\n\n###### Part 7\n\nWords.")


def test_rst_links_are_those_of_references_targets_and_plain_words() -> None:
    text = "`a <https://a.example/x#y>`_, c_, https://b.example/z.\n\n.. _c: https://c.example\n"
    assert set(read(text).links) == {"https://a.example/x", "https://b.example/z", "https://c.example"}


def test_rst_anchors_are_the_ids_of_docutils() -> None:
    page = read("Pots\n====\n\n1. The ``lid``'s rim\n-------------------\n\nx\n")
    assert page.anchors == {"Pots": "pots", "Pots › 1. The lid's rim": "the-lid-s-rim"}


def test_rst_code_becomes_fences_with_a_language() -> None:
    text = (
        "Like this::\n\n    a = 1\n\n        b\n\n"
        ".. code-block:: python\n    :caption: ``f.py``\n\n    def f(): ...\n\n"
        ">>> 1 + 1\n2\n\nEnd."
    )
    assert rst(text) == (
        "Like this:\n\n```\na = 1\n\n    b\n```\n\n`f.py`\n\n"
        "```python\ndef f(): ...\n```\n\n```pycon\n>>> 1 + 1\n2\n```\n\nEnd."
    )


def test_rst_notes_and_versions_begin_with_their_name() -> None:
    text = (
        ".. note:: Mind\n    the gap.\n\n.. admonition:: Why so?\n\n    Because.\n\n"
        ".. versionadded:: 5.2\n\n    New lid.\n\n"
        ".. warning::\n    Look::\n\n        code\n"
    )
    assert rst(text) == (
        "**Note**\n\nMind the gap.\n\n**Why so?**\n\nBecause.\n\n**New in version 5.2:** New lid.\n\n"
        "**Warning**\n\nLook:\n\n```\ncode\n```"
    )


def test_rst_objects_are_headings_below_their_section_and_their_class() -> None:
    text = (
        "Pots\n====\n\n.. class:: Pot(size, *lids)\n\n    Holds.\n\n"
        "    .. method:: pour(a)\n                pour(a, b)\n\n        Pours.\n\n"
        ".. setting:: POT\n\n``POT``\n-------\n\nDefault.\n"
    )
    assert rst(text) == (
        "# Pots\n\n## `class Pot(size, *lids)`\n\nHolds.\n\n### `pour(a)`\n\n`pour(a, b)`\n\nPours.\n\n"
        "## `POT`\n\nDefault."
    )


def test_rst_objects_have_the_fragments_of_sphinx() -> None:
    text = (
        "T\n\n====\nPots\n====\n\n.. module:: kitchen.pots\n\n.. class:: Pot()\n\n    .. method:: pour()\n\n"
        "        x\n\n.. attribute:: Pot.size\n\n.. data:: WET = 3\n\n.. currentmodule:: kitchen\n\n"
        ".. function:: boil(pot)\n   :noindex:\n\n"
        ".. py:function:: cool(pot, \\\n                  time)\n\n.. django-admin:: brew NAME\n\n"
        ".. django-admin-option:: --hot\n\n.. envvar:: POT\n"
    )
    assert [name for name in read(text).anchors.values() if name != "pots"] == [
        "kitchen.pots.Pot",
        "kitchen.pots.Pot.pour",
        "kitchen.pots.Pot.size",
        "kitchen.cool",
        "django-admin-brew",
        "cmdoption-brew-hot",
        "envvar-POT",
    ]


def test_rst_objects_in_items_and_long_signatures_are_no_long_headings() -> None:
    assert rst("- .. function:: f(x)\n\n      Does.\n") == "- **`f(x)`**\n\n  Does."
    arguments = ", ".join(f"argument_{n}" for n in range(20))
    assert rst(f".. function:: f({arguments})\n\n    Does.\n") == f"# `f`\n\n`f({arguments})`\n\nDoes."


def test_rst_section_whose_name_is_taken_is_found_by_its_label() -> None:
    text = "Tea\n===\n\nx\n\n.. _green-tea:\n\nNotes\n-----\n\nx\n\n.. _black-tea:\n\nMore\n----\n\n"
    text += "Notes\n~~~~~\n\n.. _old-notes:\n.. _other:\n\nNotes\n-----\n\ny\n"
    assert read(text).anchors == {"Tea": "tea", "Tea › Notes": "notes", "Tea › More": "more"}
    nested = text.replace("Notes\n-----\n\ny", "Notes\n=====\n\ny")
    assert read(nested).anchors["Tea › Notes"] == "notes"
    own = ".. _json: https://json.example\n\n.. _formats-json:\n\nJSON\n====\n\nx\n\nYAML\n----\n\ny\n"
    assert read(own).anchors["JSON"] == "formats-json"


def test_rst_reference_without_words_shows_the_title_behind_the_label() -> None:
    assert rst(".. _t-1:\n\nTea *time*\n==========\n\nSee :ref:`t-1`.\n").endswith("See Tea *time*.")


def test_rst_headings_may_refer_to_themselves_and_to_one_another() -> None:
    text = "".join(f".. _t{n}:\n\nTea {n}: :ref:`t{n + 1}` :ref:`t0`\n{'=' * 40}\n\n" for n in range(300))
    assert rst(text).startswith("# Tea 0: Tea 1: t2 t0 Tea 0: t1 t0\n\n# Tea 1: Tea 2: t3 t0 Tea 0: t1 t0\n\n")


def test_rst_references_to_a_long_heading_show_its_label() -> None:
    text = f".. _all-tea:\n\n{'Tea ' * 60}\n{'=' * 300}\n\nSee :ref:`all-tea`.\n"
    assert rst(text).endswith("See all tea.")


def test_rst_what_stands_beside_the_name_of_a_box_without_an_argument_is_text() -> None:
    text = ".. epigraph:: Tea\n\n   Cups.\n\n.. pull-quote::\n   Pots.\n\n.. hlist::\n   :columns: 2\n\n   * Lids\n"
    assert rst(text) == "Tea\n\nCups.\n\nPots.\n\n- Lids"
    assert rst(".. autosummary::\n   a.b\n   ~c.d\n") == "- `a.b`\n- `c.d`"
    assert rst(".. code-tab:: py Tea\n   import tea\n") == "**Tea**\n\n```py\nimport tea\n```"


def test_rst_what_was_removed_says_in_which_version() -> None:
    text = ".. deprecated-removed:: 3.8 3.14 Use cups.\n\n.. deprecated-removed:: 3.9 4.0\n\n   Use pots.\n"
    assert rst(text) == (
        "**Deprecated since version 3.8, removed in version 3.14:** Use cups.\n\n"
        "**Deprecated since version 3.9, removed in version 4.0:** Use pots."
    )


def test_rst_roles_of_raw_text_show_that_for_html_alone() -> None:
    roles = ".. role:: tex(raw)\n   :format: latex\n.. role:: web(raw)\n   :format: html\n\n"
    page = read(f"{roles}:tex:`no tea` :web:`<b>T</b>`")
    assert page.markdown == "**T**"
    assert [(each.rule, each.words) for each in page.dropped] == [("text for latex alone", 2)]


def test_rst_targets_with_a_text_keep_it() -> None:
    assert rst(".. setting:: POT\n\n    How big.\n") == "`POT`\n\nHow big."


def test_rst_literal_blocks_in_items_are_code() -> None:
    assert rst("- Text::\n\n      code\n\n      more\n") == "- Text:\n\n  ```\n  code\n\n  more\n  ```"


@pytest.mark.parametrize(
    ("markup", "expected"),
    [
        (":ref:`the pots <pot-label>`", "the pots"),
        (":class:`~kitchen.pots.Pot`", "`Pot`"),
        (":meth:`!Pot.pour`", "`Pot.pour()`"),
        (":doc:`/topics/tea-time`", "topics/tea time"),
        (":pep:`8` and :rfc:`2324`", "PEP 8 and RFC 2324"),
        ("``a`` and ``b`c``", "`a` and `` b`c ``"),
        ("``:role:`x```", "`` :role:`x` ``"),
        ("`tea <https://t.example/a>`_", "[tea](https://t.example/a)"),
        (
            "`tea`_ and tea_\n\n.. _tea: https://t.example/b",
            "[tea](https://t.example/b) and [tea](https://t.example/b)",
        ),
        ("a snake_case_ name_", "a snake_case_ name_"),
        ("|v| it\n\n.. |v| replace:: five", "five it"),
        ("# no heading", "\\# no heading"),
        ("``a``\\ s", "`a`s"),
        (":class:`QuerySet`\\s", "`QuerySet`s"),
        (":func:`spread over\n<x>` lines", "spread over lines"),
        (":pep:`8` and :pep:`that one <8>`", "PEP 8 and that one"),
        ("10\\ :sup:`6`, x\\ :sub:`i`\\ :sup:`2`, 1\\ :sup:`st`", "10^6, x_i^2, 1st"),
        ("a |b| c\n\n.. |b| raw:: html\n\n   <b>x</b>", "a **x** c"),
        ("|copy| |none|\n\n.. include:: <isonum.txt>", "© none"),
        (
            "`a`_ and `b`__\n\n.. _a:\n   https://t.example/long/\n   path\n__ a_",
            "[a](https://t.example/long/path) and [b](https://t.example/long/path)",
        ),
    ],
)
def test_rst_inline_markup_becomes_markdown(markup: str, expected: str) -> None:
    assert rst(markup) == expected


def test_rst_drops_comments_labels_and_lists_of_pages() -> None:
    text = ".. _label:\n\n.. a comment\n   of two lines\n\n"
    text += ".. toctree::\n   :maxdepth: 1\n\n   a\n\n.. index:: pots\n\nText."
    assert rst(text) == "Text."


def test_rst_lists_keep_what_belongs_to_an_item() -> None:
    text = "* one\n  more\n\n  .. code-block:: sh\n\n      ls\n\n"
    text += "* two\n\n#. first\n#. second\n\nterm\n    What it means.\n"
    assert rst(text) == (
        "- one more\n\n  ```sh\n  ls\n  ```\n- two\n\n1. first\n2. second\n\n**term**\n\nWhat it means."
    )


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        (
            "===== =====\nA     B\n===== =====\n``1`` 2|x\n      more\n\n3     4\n===== =====",
            "| A | B |\n| --- | --- |\n| `1` | 2\\|x more |\n| 3 | 4 |",
        ),
        (
            "+----+------+\n| A  | B    |\n+====+======+\n| 1  | two  |\n|    | rows |\n+----+------+\n"
            "| both      |\n+----+------+",
            "| A | B |\n| --- | --- |\n| 1 | two rows |\n| both |  |",
        ),
        (
            ".. list-table:: Cups\n   :header-rows: 1\n\n   * - A\n     - B\n   * - 1\n     - - x\n       - y",
            "**Cups**\n\n| A | B |\n| --- | --- |\n| 1 | - x - y |",
        ),
        (
            '.. csv-table::\n   :header: "A", "B"\n\n   "1, 2", ``c``\n   3',
            "| A | B |\n| --- | --- |\n| 1, 2 | `c` |\n| 3 |  |",
        ),
    ],
)
def test_rst_tables_become_tables_of_markdown(table: str, expected: str) -> None:
    assert rst(f"Before.\n\n{table}\n\nAfter.") == f"Before.\n\n{expected}\n\nAfter."


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ("+---+---+\n| a | b |\n|   +---+\n|   | c |\n+---+---+", "| a | b |\n| --- | --- |\n| a | c |"),
        ("+---+---+\n| a | bcd |\n+---+---+\n| e | f |\n+---+---+", "| a | bcd |\n| --- | --- |\n| e | f |"),
        ("===== =====\nA     B", "A B"),
        ("== ==\nA long word\n== ==\n1  2\n== ==", "```\nA long word\n1  2\n```"),
    ],
)
def test_rst_table_with_spans_or_faults_keeps_its_words(table: str, expected: str) -> None:
    assert rst(f"{table}\n\n*After*.") == f"{expected}\n\n*After*."


def test_rst_fields_and_options_become_lists() -> None:
    text = ":orphan:\n:tocdepth: 2\n\n.. function:: f\n\n    :param int x: How\n        many.\n    :returns: Tea.\n"
    text += "    :raises Cold: if it is.\n"
    assert rst(text) == "# `f`\n\n- `x` (`int`): How many.\n- Returns: Tea.\n- Raises `Cold`: if it is."
    assert (
        rst("-a, --all  Everything.\n--pot=NAME\n    Which.\n") == "- `-a, --all`: Everything.\n- `--pot=NAME`: Which."
    )


def test_rst_glossaries_name_all_terms_of_a_meaning() -> None:
    assert rst(".. glossary::\n\n    pot\n    kettle\n        Boils.\n") == "**pot, kettle**\n\nBoils."


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("| one\n| two", "one\ntwo"),
        (".. math:: a = b", "```math\na = b\n```"),
        (".. highlight:: sh\n\nRun::\n\n    ls", "Run:\n\n```sh\nls\n```"),
        (".. literalinclude:: pots.py\n   :language: python", "The code of `pots.py`."),
        (".. figure:: a.png\n   :alt: A pot\n\n   Its *caption*.", "A pot\n\nIts *caption*."),
        (".. |logo| image:: l.png\n   :alt: Teapots\n\nBy |logo|, version |release|.", "By Teapots, version ."),
        ("Text [1]_ and [#n]_.\n\n.. [1] Foot.", "Text [1] and [n].\n\n[1] Foot."),
        (
            "One [#]_, two [#]_ [#n]_ [*]_.\n\n.. [#] a\n.. [#] b\n.. [#n] c\n.. [*] d\n.. [1] e",
            "One [2], two [3] [4] [*].\n\n[2] a\n\n[3] b\n\n[4] c\n\n[*] d\n\n[1] e",
        ),
        ("3. a\n4. b\n\niv. c\nv. d", "3. a\n4. b\n\n4. c\n5. d"),
        ("..\n\n   Quoted.\n\nText.", "> Quoted.\n\nText."),
        ("tea : noun : hot\n   A drink.", "**tea : noun : hot**\n\nA drink."),
        ("Text.\n\n   Quoted.\n\n   -- Somebody", "Text.\n\n> Quoted.\n> \n> — Somebody"),
        ("See `here`__.\n\n__ https://t.example/a", "See [here](https://t.example/a)."),
        ("tea_ it\n\n.. _tea: pot_\n.. _pot:\n   https://t.example/p", "[tea](https://t.example/p) it"),
        (".. rubric:: Notes\n\nx", "**Notes**\n\nx"),
        (".. deprecated:: 4.0 Use pots.", "**Deprecated since version 4.0:** Use pots."),
        (".. toctree::\n\n   a\n\n.. raw:: html\n\n   <b>\n\nx", "x"),
    ],
)
def test_rst_directives_and_references_show_what_a_reader_sees(text: str, expected: str) -> None:
    assert rst(text) == expected


@pytest.mark.parametrize("width", [1, 3])
def test_rst_nested_deeper_than_anybody_writes_keeps_its_text(width: int) -> None:
    for join in ("\n\n", "\n"):
        assert "word" in rst(join.join(" " * width * i + "word" for i in range(300)))


HOSTILE = [
    "`", "``a`", ":a:`", ":a:a", "|a", " ", "\n", "\\", "http://", "a_ ", "=\n", "- a\n", "== ==\nx\n\n", "+-+\n",
    "+--+\n| |\n", ".. a::\n ", "-a  b\n", ":a: b\n", "| a\n", "[#a]_", "`a`__ ", ".. _a:\n", ".. |a| image:: b\n",
    "*a ", "``a ", "`a ", "_`a ", ":a:`b ", "*a* ", ":a:`b`c ", "`a <b>`_ ", "- ", "- a\n\n1. b\n\n", "a\n\n.. b\n\n",
    "   a\n\n   -- b\n\n", "a\n  b\n", "a\n===\n\n", "a::\n\n > b\n\n", "+---+---+\n| a | b |\n+---+---+\n",
    ".. |a| replace:: b\n\n|a|\n\n", ".. csv-table::\n\n   a,b\n\n", ".. glossary::\n\n   a\n     b\n\n",
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("pattern", HOSTILE)
def test_rst_repeated_markup_takes_work_in_proportion(pattern: str) -> None:
    def work(size: int) -> int:
        return calls(lambda: reader.read("file:///a.rst", pattern * (size // len(pattern))))

    work(1_000)  # what is made once
    assert work(TIMES * 5_000) <= MOST * work(5_000)


@pytest.mark.parametrize("text", ["", "- ", "1. ", ":a: ", ".. note:: ", "| ", ".. [1] "])
def test_rst_a_hundred_thousand_levels_keep_their_words(text: str) -> None:
    assert "word" in rst(text * 100_000 + "word")


@pytest.mark.parametrize(
    "text",
    [
        "\n".join(f".. _a{n}: a{n + 1}_" for n in range(5_000)) + "\n\na0_ word",
        "\n".join(f".. |a{n}| replace:: " + f"|a{n + 1}| " * 50 for n in range(50)) + "\n\n|a0| word",
        ".. |a| replace:: |b|\n.. |b| replace:: |a|\n\n|a| word",
        "\n".join(f".. role:: a{n}(a{n + 1})\n" for n in range(2_000)) + "\n:a0:`word`",
        '.. end of inclusion from "x"\n\nword',
    ],
)
def test_rst_names_that_stand_for_names_end(text: str) -> None:
    assert "word" in rst(text)


def test_rst_lines_beyond_those_of_any_page_are_kept_as_they_are_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parser, "MAX_LINES", 4)
    assert rst("One\n===\n\n*a*\n\n*b* :c:`d`\n\n*e*") == "# One\n\n*a*\n\n*b* :c:`d`\n\n*e*"


def test_rst_more_markup_than_any_page_has_is_kept_as_it_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inline, "LEAST_ROOM", 2)
    monkeypatch.setattr(inline, "MAX_CHARS", 10)
    monkeypatch.setattr(inline, "MAX_ROOM", 2)
    assert rst("*a* :b:`c`\n\n*d*\n\n``e``") == "*a* `c`\n\n*d*\n\n``e``"


def test_rst_long_text_is_read_in_parts_that_begin_with_titles(monkeypatch: pytest.MonkeyPatch) -> None:
    page = "".join(f"Part {n}\n------\n\n- *one*\n\n  .. note:: ``two``\n\n" for n in range(40))
    whole = read(page)
    monkeypatch.setattr(states, "PIECE_LINES", 10)
    assert read(page) == whole


def test_rst_roles_and_names_of_a_page_do_not_reach_another() -> None:
    assert rst(".. default-role:: emphasis\n.. role:: loud(strong)\n\n`a` :loud:`b`") == "*a* **b**"
    assert rst("`a` :loud:`b`") == "`a` `b`"


def test_rst_reads_no_file_and_names_it(tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("hidden,words")
    page = read(
        f".. include:: {secret}\n\n.. literalinclude:: {secret}\n   :caption: Its code\n\n"
        f".. raw:: html\n   :file: {secret}\n\n"
        f".. csv-table::\n   :file: {secret}\n\n.. csv-table::\n   :url: {secret.as_uri()}\n"
    )
    assert "hidden" not in page.markdown
    assert page.markdown.count("secret.txt") == 5
    assert "Its code\n\nThe code of" in page.markdown


def test_rst_counts_the_words_that_rules_drop() -> None:
    text = ".. toctree::\n   :caption: All tea\n\n   a\n   b\n\n.. index:: c d\n\n.. a comment\n\nText."
    dropped = read(f"{text}\n\n.. meta::\n   :description: Of tea.\n").dropped
    assert {rule.rule: rule.words for rule in dropped} == {
        "list of pages": 4,
        "index entry": 2,
        "comment": 2,
        "description for search engines": 2,
    }
