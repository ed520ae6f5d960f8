"""Each piece of a table that is cut shows its header, and each piece of a fence is a fence."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from ingestion import markdown_outline
from ingestion.chunking.chunker import chunk
from ingestion.types import Extracted, TextChunk, embedding_text
from tests.support.tokenizers_of_all_kinds import KINDS, built

HEADER = "| pot | cup |\n| --- | :-: |\n"


@pytest.fixture(scope="module", params=KINDS)
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    return built(request.param)


def cut(markdown: str, tokenizer: Tokenizer, max_tokens: int = 200) -> list[TextChunk]:
    """Return the chunks, whose text is the source's and which are within the budget with what is shown around them."""
    found = chunk(Extracted("Tea", markdown), tokenizer=tokenizer, max_tokens=max_tokens)
    for part in found:
        assert markdown[part.start : part.end] == part.text
        assert part.shown == part.before + part.text + part.after
        shown = len(tokenizer.encode(embedding_text(part.heading, part.shown)).ids)
        assert part.tokens == shown <= max_tokens
    assert re.sub(r"\s", "", "".join(part.text for part in found)) == re.sub(r"\s", "", markdown)
    return found


def rows(number: int) -> str:
    return "\n".join(f"| tea {n} | cup {n} |" for n in range(number))


def fences(text: str) -> list[str]:
    return [text[b.start : b.end] for b in markdown_outline.blocks(text) if b.kind == markdown_outline.FENCE]


def is_balanced(text: str) -> bool:
    """Return whether every fence in a text has a line that closes it."""
    for fence in fences(text):
        opening, *_, last = fence.rstrip().split("\n") * 2
        marker = re.match(r"\s*(`+|~+)", opening)
        if marker is None or "\n" not in fence.rstrip() or not markdown_outline.closes_fence(last, marker[1]):
            return False
    return True


@pytest.mark.parametrize("indent", ["", "  "])
def test_every_piece_of_a_table_begins_with_its_header(tokenizer: Tokenizer, indent: str) -> None:
    table = "".join(f"{indent}{line}\n" for line in f"{HEADER}{rows(120)}".split("\n"))
    found = cut(f"{table.rstrip()}", tokenizer)
    assert len(found) > 3
    header = "".join(f"{indent}{line}\n" for line in HEADER.splitlines())
    assert all(part.shown.startswith(header) for part in found)
    assert [part.before for part in found[1:]] == [header] * (len(found) - 1)
    assert found[0].before == ""


def test_what_stands_around_a_table_is_shown_as_it_is(tokenizer: Tokenizer) -> None:
    found = cut(f"Words before.\n\n{HEADER}{rows(120)}\n\nWords after.", tokenizer)
    assert found[0].shown.startswith("Words before.\n\n| pot")
    assert found[-1].text.endswith("Words after.")
    assert all(HEADER in part.shown for part in found if "| tea" in part.text)
    assert all(part.shown.count(HEADER) == 1 for part in found)


def test_two_tables_have_each_their_own_header(tokenizer: Tokenizer) -> None:
    other = HEADER.replace("pot", "pan")
    found = cut(f"{HEADER}{rows(120)}\n\n{other}{rows(120).replace('tea', 'milk')}", tokenizer)
    assert all(HEADER in part.shown for part in found if "| tea" in part.text)
    assert all(other in part.shown for part in found if "| milk" in part.text)


@pytest.mark.parametrize(
    "table",
    [
        rows(120),  # no header
        f"| {'long ' * 300}|\n| --- |\n{rows(120)}",  # a header that would leave no room for the rows
    ],
)
def test_without_a_header_that_fits_rows_stand_alone(tokenizer: Tokenizer, table: str) -> None:
    assert not any(part.before for part in cut(table, tokenizer))


def test_a_table_that_fits_is_not_touched(tokenizer: Tokenizer) -> None:
    found = cut("tea " * 150 + f"\n\n{HEADER}{rows(2)}\n\n" + "tea " * 150, tokenizer)
    assert not any(part.before or part.after for part in found)


@pytest.mark.parametrize("opening", ["```python", "~~~", "````text title=x", "  ```sh"])
def test_every_piece_of_a_fence_is_a_fence(tokenizer: Tokenizer, opening: str) -> None:
    marker = re.match(r"(\s*)([`~]+)", opening)
    assert marker is not None
    code = "\n".join(f"    pour({n})" for n in range(200))
    found = cut(f"Run it:\n\n{opening}\n{code}\n{marker[0]}\n\nDone.", tokenizer)
    assert len(found) > 3
    assert all(is_balanced(part.shown) for part in found)
    assert all(opening in part.shown for part in found if "pour" in part.text)
    assert found[-1].text.endswith("Done.")


def test_a_fence_that_nothing_closes_is_closed_where_it_is_shown(tokenizer: Tokenizer) -> None:
    found = cut("```c\n" + "\n".join(f"pour({n});" for n in range(200)), tokenizer)
    assert all(is_balanced(part.shown) for part in found)
    assert all(part.after == "\n```" for part in found)


def test_fences_inside_a_longer_fence_are_its_text(tokenizer: Tokenizer) -> None:
    inner = "\n\n".join(f"```sh\npour {n}\n```" for n in range(90))
    found = cut(f"````markdown\n{inner}\n````", tokenizer)
    assert all(is_balanced(part.shown) and len(fences(part.shown)) == 1 for part in found)


BLOCK = st.one_of(
    st.integers(1, 200).map(lambda n: HEADER + rows(n)),
    st.tuples(st.sampled_from(["```py", "~~~~", "````"]), st.integers(1, 200)).map(
        lambda f: "\n".join([f[0], *(f"pour({n})" + "\n" * (n % 7 == 0) for n in range(f[1])), f[0].rstrip("py")])
    ),
    st.integers(1, 80).map(lambda n: "tea and cup. " * n),
    st.just("## Green"),
)


@given(st.lists(BLOCK, min_size=1, max_size=6), st.sampled_from([200, 320]), st.sampled_from(sorted(KINDS)))
def test_whatever_stands_beside_it_a_piece_can_be_read_alone(blocks: list[str], max_tokens: int, kind: str) -> None:
    found = chunk(Extracted("Tea", "\n\n".join(blocks)), tokenizer=built(kind), max_tokens=max_tokens)
    for part in found:
        assert part.tokens <= max_tokens
        assert is_balanced(part.shown), part.shown
        assert "| tea" not in part.text or HEADER in part.shown, part.shown
