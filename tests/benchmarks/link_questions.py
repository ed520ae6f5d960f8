"""A documentation's own links as questions: `python -m tests.benchmarks.link_questions DOCS OUT`.

Authors of Sphinx documentation write ``:doc:`Accessing related objects <ref/models/relations>```: words for what a
reader looks for, and the page that has it. Each such text of two words or more is a query, its page the relevant
document. OUT gets queries.jsonl and qrels.tsv for `manage.py evaluate`; the corpus is DOCS, ingested as a folder.
"""

from __future__ import annotations

import argparse
import json
import re
from collections import defaultdict
from pathlib import Path

LINK = re.compile(r":doc:`([^`<]+?)\s*<([^>`]+)>`")
SUFFIXES = (".txt", ".rst")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("docs", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    write(questions(options.docs.resolve()), options.out)


def questions(docs: Path) -> dict[str, set[Path]]:
    """Link text -> the files that it leads to."""
    found: dict[str, set[Path]] = defaultdict(set)
    for page in sorted(p for p in docs.rglob("*") if p.suffix in SUFFIXES):
        for words, target in LINK.findall(page.read_text()):
            text, leads_to = " ".join(words.split()), resolve(docs, page, target)
            if leads_to and " " in text:
                found[text].add(leads_to)
    return found


def resolve(docs: Path, page: Path, target: str) -> Path | None:
    base = docs / target.lstrip("/") if target.startswith("/") else page.parent / target
    files = (base.with_name(base.name + suffix) for suffix in SUFFIXES)
    return next((file.resolve() for file in files if file.is_file()), None)


def write(found: dict[str, set[Path]], out: Path) -> None:
    queries = [json.dumps({"_id": str(n), "text": text}) for n, text in enumerate(found)]
    qrels = [f"{n}\t{file.as_uri()}\t1" for n, files in enumerate(found.values()) for file in sorted(files)]
    (out / "queries.jsonl").write_text("\n".join(queries) + "\n")
    (out / "qrels.tsv").write_text("\n".join(["query-id\tcorpus-id\tscore", *qrels]) + "\n")


if __name__ == "__main__":
    main()
