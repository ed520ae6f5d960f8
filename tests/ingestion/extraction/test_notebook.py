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
    assert page.markdown == "# Tea\nBoil & pour.\n\n```julia\na = 1\n\nb\n```\n\n## Cups\n\n```bash\n%%bash\nls\n```"
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
        ({"output_type": "stream", "text": "\x1b[31mred\x1b[0m\x00"}, "red"),
        ({"output_type": "stream", "text": "n\n" * 500}, "n\n" * 12 + "…"),
        ({"output_type": "stream", "text": "n" * 5000}, "n" * 800 + "\n…"),
    ],
)
def test_outputs_are_short_and_plain(output: dict[str, Any], shown: str) -> None:
    assert read({"cells": [code("x", output)]}).markdown == f"```python\nx\n```\n\n```\n{shown}\n```"


def test_pictures_never_stay() -> None:
    picture = {"output_type": "display_data", "data": {"image/png": "iVBOR" * 9000}}
    cells = [
        text("See ![pot](data:image/png;base64," + "iVBO" * 9000 + ") and ![p](attachment:p.png)."),
        code("x", picture),
        code("y = 'data:image/png;base64," + "iVBO" * 9000 + "'"),
    ]
    assert read({"cells": cells}).markdown == "See pot and p.\n\n```python\nx\n```\n\n```python\ny = ''\n```"


def test_it_reads_the_old_format() -> None:
    cells = [
        {"cell_type": "heading", "level": 2, "source": "Tea"},
        {"cell_type": "code", "input": "x", "language": "r"},
    ]
    assert read({"nbformat": 3, "worksheets": [{"cells": cells}, 3]}).markdown == "## Tea\n\n```r\nx\n```"


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
