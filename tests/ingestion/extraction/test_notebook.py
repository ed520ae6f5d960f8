"""Notebooks become Markdown: text, code, the start of outputs; what is no notebook is refused with what to do."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ingestion.exceptions import UnsupportedContent
from ingestion.extraction.extract import extract
from ingestion.types import Extracted, Page

URL = "file:///docs/tea.ipynb"


def read(book: object) -> Extracted:
    body = book if isinstance(book, bytes) else json.dumps(book).encode()
    return extract(Page(URL, body, "application/x-ipynb+json"))


def code(source: Any, *outputs: dict[str, Any]) -> dict[str, Any]:
    return {"cell_type": "code", "source": source, "outputs": list(outputs)}


def text(source: Any) -> dict[str, Any]:
    return {"cell_type": "markdown", "source": source}


def test_it_reads_text_and_code_in_order() -> None:
    cells = [
        text(["# Tea\n", "Boil &amp; [pour](b.md)."]),
        code("a = 1\n\nb"),
        text("## Cups"),
        code(" \n"),
        code("%%bash\nls"),
    ]
    page = read({"cells": cells, "metadata": {"kernelspec": {"language": "Julia"}}})
    assert page.title == "Tea"
    assert page.markdown == "# Tea\n\nBoil & pour.\n\n```julia\na = 1\n\nb\n```\n\n## Cups\n\n```bash\n%%bash\nls\n```"
    assert page.anchors == {"Tea": "tea", "Tea › Cups": "cups"}


@pytest.mark.parametrize(
    ("metadata", "language"),
    [
        ({"language_info": {"name": "R"}, "kernelspec": {"language": "python"}}, "r"),
        ({"language_info": {"name": "a b`"}}, "python"),
        ({"language_info": 3, "kernelspec": []}, "python"),
        (None, "python"),
    ],
)
def test_code_has_the_language_of_the_kernel(metadata: object, language: str) -> None:
    assert read({"cells": [code("x")], "metadata": metadata}).markdown == f"```{language}\nx\n```"


def test_the_metadata_may_name_it() -> None:
    assert read({"cells": [text("# Cups")], "metadata": {"title": "Tea: a 'study'"}}).title == "Tea: a 'study'"


@pytest.mark.parametrize(
    ("output", "shown"),
    [
        ({"output_type": "stream", "text": ["a\n", "b\n"]}, "a\nb"),
        ({"output_type": "execute_result", "data": {"text/plain": "3", "text/html": "<b>3</b>"}}, "3"),
        ({"output_type": "error", "ename": "Cold", "evalue": "is", "traceback": ["\x1b[31mlong"]}, "Cold: is"),
        ({"output_type": "pyerr", "ename": "Cold", "evalue": "is"}, "Cold: is"),
        ({"output_type": "stream", "text": "\x1b[31mred\x1b[0m\x00"}, "red"),
        ({"output_type": "stream", "text": "\x1b[0;31mrate(x[5m])"}, "rate(x[5m])"),
        ({"output_type": "stream", "text": "n\n" * 500}, "n\n" * 12 + "…"),
        ({"output_type": "stream", "text": "n" * 5000}, "n" * 800 + "\n…"),
    ],
)
def test_outputs_are_short_and_plain(output: dict[str, Any], shown: str) -> None:
    assert read({"cells": [code("x", output)]}).markdown == f"```python\nx\n```\n\n```\n{shown}\n```"


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        ({"text/markdown": ["**Result**: 42 rows"]}, "**Result**: 42 rows"),
        ({"text/markdown": "\x1b[31mrate(x[5m])\x1b[0m"}, "rate(x[5m])"),
        ({"text/html": "<p>The <b>limit</b> is 500</p>"}, "The **limit** is 500"),
        ({"text/html": "<table><tr><td>a</td><td>b</td></tr></table>", "text/plain": "a b"}, "```\na b\n```"),
        ({"text/plain": "<IPython.core.display.Markdown object>", "text/markdown": "*x*"}, "*x*"),
        ({"text/plain": "<IPython.core.display.HTML object>", "text/html": "<i>x</i>"}, "*x*"),
        ({"text/latex": "$x^2$"}, "```\n$x^2$\n```"),
        ({"text/markdown": "```\nopen"}, "```\nopen\n```"),
        ({"text/html": "<div><table><tr><td>a"}, "a"),
    ],
)
def test_outputs_without_plain_text_are_read_as_what_they_are(data: dict[str, Any], shown: str) -> None:
    cells = [code("x", {"output_type": "display_data", "data": data}), text("After.")]
    assert read({"cells": cells}).markdown == f"```python\nx\n```\n\n{shown}\n\nAfter."


@pytest.mark.parametrize(
    "output",
    [
        "[<matplotlib.lines.Line2D at 0x7f1c2a3b4d30>]",
        "[<a.B at 0x7f1c2a3b4d30>,\n <a.B at 0x7f1c2a3b4d31>]",
        "(<Figure size 640x480 with 1 Axes>,)",
        "<Figure size 640x480 with 2 Axes>",
        "<Axes: title={'center': 'Tea'}, xlabel='x'>",
        "<seaborn.axisgrid.FacetGrid at 0x12345678>",
        "<bound method A.b of <__main__.A object at 0x10f3a2b50>>",
        "CPU times: user 3 µs, sys: 1 µs, total: 4 µs\nWall time: 5.25 µs",
        "1.2 ms ± 3.4 µs per loop (mean ± std. dev. of 7 runs)",
        "100%|██████████| 10/10 [00:00<00:00, 123.45it/s]",
    ],
)
def test_what_each_run_prints_anew_is_left_out_and_counted(output: str) -> None:
    page = read({"cells": [code("x", {"output_type": "execute_result", "data": {"text/plain": output}})]})
    assert page.markdown == "```python\nx\n```"
    assert sum(rule.words for rule in page.dropped) == len(output.split())


def test_a_widget_shows_nothing() -> None:
    data = {
        "text/plain": "HBox(children=(A(value=0.0)))",
        "application/vnd.jupyter.widget-view+json": {"model_id": "x"},
    }
    page = read({"cells": [code("x", {"output_type": "display_data", "data": data})]})
    assert (page.markdown, [rule.rule for rule in page.dropped]) == ("```python\nx\n```", ["widgets"])


def test_a_second_run_changes_nothing() -> None:
    def run(address: str) -> str:
        shown = f"A(b=<B object at 0x{address}>, c=3)\n0xff is 255"
        return read({"cells": [code("x", {"output_type": "stream", "text": shown})]}).markdown

    assert (
        run("7f1c2a3b4d30") == run("55aa00112233") == "```python\nx\n```\n\n```\nA(b=<B object>, c=3)\n0xff is 255\n```"
    )


def test_the_rest_of_long_outputs_is_counted() -> None:
    for lines in (500, 50_000):
        (rule,) = read({"cells": [code("x", {"output_type": "stream", "text": "n\n" * lines})]}).dropped
        assert (rule.rule, rule.words) == ("long outputs", lines - 12)


def test_cells_do_not_run_into_one_another() -> None:
    cells = [text("```\nopen"), text("# Tea"), text("<div>"), text("Cups [a]"), text("[a]: b.md")]
    assert read({"cells": cells}).markdown == "```\nopen\n```\n\n# Tea\n\nCups [a]"


def test_a_raw_cell_may_hold_the_front_matter() -> None:
    page = read({"cells": [{"cell_type": "raw", "source": "---\ntitle: Tea\n---"}, text("Words.")]})
    assert (page.title, page.markdown) == ("Tea", "Words.")
    (rule,) = read({"cells": [{"cell_type": "raw", "source": "some words"}, text("Tea")]}).dropped
    assert (rule.rule, rule.words) == ("raw cells", 2)


def test_pictures_never_stay() -> None:
    picture = {"output_type": "display_data", "data": {"image/png": "iVBOR" * 9000}}
    cells = [
        text("See ![pot](data:image/png;base64," + "iVBO" * 9000 + ") and ![p](attachment:p.png)."),
        code("x", picture),
        code("y = 'data:image/png;base64," + "iVBO" * 9000 + "'"),
    ]
    assert read({"cells": cells}).markdown == "See pot and p.\n\n```python\nx\n```\n\n```python\ny = ''\n```"


def test_it_reads_the_old_format() -> None:
    output = {"output_type": "display_data", "html": ["<i>shown</i>"]}
    cells = [
        {"cell_type": "heading", "level": 2, "source": "Tea"},
        {"cell_type": "code", "input": "x", "language": "r", "outputs": [output]},
    ]
    sheets = [{"cells": cells}, 3, {"cells": [text("Words.")]}]
    assert read({"nbformat": 3, "worksheets": sheets}).markdown == "## Tea\n\n```r\nx\n```\n\n*shown*\n\nWords."


def test_links_of_text_lead_on_also_those_that_are_only_defined_below_it() -> None:
    cells = [text("See [pots](https://tea.example/pots) and cups.\n\n[c]: https://tea.example/cups")]
    assert set(read({"cells": cells}).links) == {"https://tea.example/pots", "https://tea.example/cups"}


def test_the_rest_of_a_long_page_in_an_output_is_left_out_and_counted() -> None:
    data = {"text/html": f"<p>{'tea ' * 10_000}</p>"}
    page = read({"cells": [code("x", {"output_type": "display_data", "data": data})]})
    assert [rule.rule for rule in page.dropped] == ["long outputs"]
    assert 9_990 <= page.dropped[0].words + page.markdown.count("tea") <= 10_010


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"cells": 3}', b"[" * 200_000, b'"\\ud800"'])
def test_what_is_no_notebook_is_refused_with_its_address_and_what_to_do(body: bytes) -> None:
    with pytest.raises(UnsupportedContent, match=r"tea\.ipynb .*(exclude|save)"):
        read(body)


@pytest.mark.parametrize(
    "cell", [3, {}, {"cell_type": "code", "source": 3}, code([1, "x"], {"text": 3}), {"cell_type": "raw"}]
)
def test_odd_cells_do_not_hide_the_others(cell: object) -> None:
    assert "word" in read({"cells": [cell, text("word")]}).markdown


def test_a_notebook_without_text_is_refused() -> None:
    with pytest.raises(UnsupportedContent, match="no text"):
        read({"cells": []})
