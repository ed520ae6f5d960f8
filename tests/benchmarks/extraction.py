"""How fast and how well HTML becomes Markdown, on a site built from sources that are at hand too.

    python -m tests.benchmarks.extraction --html SITE --text SOURCES [--articles FOLDER] [--peers]

SITE holds built pages, SOURCES the same pages as text: either Sphinx's own text builder (``sphinx-build -b text``,
the fairest reference there is: it renders roles, references and API signatures as the HTML builder does, which the
source files leave to extensions) or the Markdown files of MkDocs. FOLDER holds pairs ``name.html`` and ``name.txt``,
the text as a person marked it. ``--peers`` runs trafilatura on the same pages in the same process.

F1 is of the multisets of four successive words, markup left out on both sides. Code is kept if each ``pre`` of the
content, read by Beautiful Soup, stands verbatim in a fence. Time is processor time of one process, best of three.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from textwrap import dedent

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ragproject.settings")

from bs4 import BeautifulSoup, Tag

from ingestion.exceptions import UnsupportedContent
from ingestion.extraction.extract import extract
from ingestion.types import Extracted, Page

NAVIGATION = (
    "¶",
    "Edit this page",
    "Skip to content",
    "Back to top",
    "Table of contents",
    "Previous topic",
    "Next topic",
)

# Scripts that write no spaces are compared by characters.
_WORD = re.compile(
    r"[\u0e00-\u0eff\u1000-\u109f\u3040-\u30ff\u3400-\u9fff]|[^\W_\u0e00-\u0eff\u1000-\u109f\u3040-\u30ff\u3400-\u9fff]+"
)
_FENCE = re.compile(r"^([ \t]*)(`{3,})([^`\n]*)\n(.*?)^\1\2[ \t]*$", re.MULTILINE | re.DOTALL)
_NUMBER = re.compile(r"^[ \t>]*\d+\. ", re.MULTILINE)  # of a list
_TARGET = re.compile(r"\]\([^()\s]*(?:\([^()\s]*\)[^()\s]*)*(?:\s+\"[^\"]*\")?\)")
_FRONT_MATTER = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)
_TAG = re.compile(r"<(?:!--.*?--|/?[a-zA-Z][^<>\n]*)>", re.DOTALL)
_DEFINITION = re.compile(r"^[ \t]*\[[^\]\n]+\]:[ \t]+\S.*$", re.MULTILINE)
_ATTRIBUTES = re.compile(r"\{[:.#][^{}\n]*\}")
_NOTE = re.compile(r"^([ \t]*)(?:!!!|\?\?\?\+?)[ \t]+(\w+)(?:[ \t]+\"([^\"\n]*)\")?[ \t]*$", re.MULTILINE)
_TAB = re.compile(r"^([ \t]*)===\+?[ \t]+\"([^\"\n]*)\"[ \t]*$", re.MULTILINE)


def main() -> None:
    options = _options()
    if options.html:
        measure_site(options.html, options.text, peers=options.peers, worst=options.worst)
    if options.articles:
        measure_articles(options.articles, peers=options.peers)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Speed and quality of HTML extraction.")
    parser.add_argument("--html", type=Path)
    parser.add_argument("--text", type=Path)
    parser.add_argument("--articles", type=Path)
    parser.add_argument("--peers", action="store_true")
    parser.add_argument("--worst", type=int, default=8, metavar="N", help="pages to name, those of the least F1")
    return parser.parse_args()


def say(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")


# --- A site --------------------------------------------------------------------------------------------


def measure_site(html: Path, text: Path | None, *, peers: bool, worst: int) -> None:
    pages = {path: path.read_bytes() for path in sorted(html.rglob("*.html")) if "_static" not in path.parts}
    found = {path: read(path, body) for path, body in pages.items()}
    refused = [path for path, extracted in found.items() if extracted is None]
    say(f"{len(pages)} pages, {sum(map(len, pages.values())) / 1e6:.1f} MB; without text or refused: {len(refused)}")
    for path in refused[:10]:
        say("  refused:", path.relative_to(html))
    _say_speed(pages, peers=peers)
    extracted = {path: result for path, result in found.items() if result}
    _say_code({path: pages[path] for path in extracted}, extracted)
    _say_navigation(extracted)
    _say_anchors(html, pages, extracted)
    if text:
        _say_f1(html, text, pages, extracted, peers=peers, worst=worst)


def read(path: Path, body: bytes) -> Extracted | None:
    try:
        return extract(
            Page(url=f"https://site.example/{path.as_posix().lstrip('/')}", body=body, content_type="text/html")
        )
    except UnsupportedContent:
        return None


def _say_speed(pages: dict[Path, bytes], *, peers: bool) -> None:
    ours = seconds(lambda: [read(path, body) for path, body in pages.items()])
    say(f"ours: {len(pages) / ours:.0f} pages/s of one core, {1000 * ours / len(pages):.2f} ms a page")
    if peers:
        sample = list(pages.values())[:: max(1, len(pages) // 100)]
        share = seconds(lambda: [read(Path("x"), body) for body in sample])
        theirs = seconds(lambda: [trafilatura(body) for body in sample])
        each = 1000 * theirs / len(sample)
        say(f"trafilatura, {len(sample)} of them: {each:.1f} ms a page, {theirs / share:.1f}x ours")


def seconds(work: Callable[[], object], repeats: int = 3) -> float:
    work()
    taken = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        taken.append(time.process_time() - start)
    return min(taken)


def trafilatura(body: bytes) -> str:
    from trafilatura import extract as theirs

    found = theirs(body, output_format="markdown", include_tables=True, include_comments=False, include_links=False)
    return found or ""


# --- F1 ------------------------------------------------------------------------------------------------


def _say_f1(
    html: Path, text: Path, pages: dict[Path, bytes], found: dict[Path, Extracted], *, peers: bool, worst: int
) -> None:
    pairs = {path: reference for path in found if (reference := reference_of(path.relative_to(html), text))}
    scores = {path: f1(words_of_markdown(found[path].markdown), reference) for path, reference in pairs.items()}
    if not scores:
        say("no page has a text of the same name")
        return
    say(f"F1 of 4-grams: mean {mean(scores.values()):.4f}, least {min(scores.values()):.3f}, {len(scores)} pages")
    for path in sorted(scores, key=scores.__getitem__)[:worst]:
        say(f"  {scores[path]:.3f} {path.relative_to(html)}")
    if peers:
        sample = list(pairs)[:: max(1, len(pairs) // 100)]
        theirs = [f1(words_of_markdown(trafilatura(pages[path])), pairs[path]) for path in sample]
        ours = mean(scores[path] for path in sample)
        say(f"trafilatura: {mean(theirs):.4f} on {len(sample)} pages, where ours is {ours:.4f}")


def reference_of(page: Path, text: Path) -> list[str]:
    stem = page.parent if page.name == "index.html" else page.with_suffix("")
    names = [page.with_suffix(""), stem]
    for name in names:
        for suffix in (".txt", ".md"):
            source = (text / name).with_name(name.name + suffix) if name.name else text / f"index{suffix}"
            if source.is_file():
                return words_of_source(source)
    return []


def words_of_source(source: Path) -> list[str]:
    text = source.read_text(encoding="utf-8")
    return words_of_markdown(plain_markdown(text)) if source.suffix == ".md" else words(_NUMBER.sub("", text))


def plain_markdown(text: str) -> str:
    """The dialect of MkDocs as a reader sees it: a note's name or title, a tab's label."""
    text = _NOTE.sub(lambda note: f"{note[1]}{note[2] if note[3] is None else note[3]}", _FRONT_MATTER.sub("", text))
    text = _TAB.sub(r"\1\2", text)
    parts = re.split(r"(^[ \t]*```.*?^[ \t]*```[ \t]*$)", text, flags=re.MULTILINE | re.DOTALL)
    return "".join(part if at % 2 else _without_markup(part) for at, part in enumerate(parts))


def _without_markup(text: str) -> str:
    spans = re.split(r"(`[^`\n]+`)", _DEFINITION.sub("", text))
    return "".join(span if at % 2 else _ATTRIBUTES.sub("", _TAG.sub(" ", span)) for at, span in enumerate(spans))


def words_of_markdown(markdown: str) -> list[str]:
    markdown = re.sub(r"^[ \t]*(`{3,}|~{3,}).*$|\*", "", markdown, flags=re.MULTILINE)
    markdown = _NUMBER.sub("", markdown)
    return words(_TARGET.sub("]", re.sub(r"\]\[[^\]\n]*\]", "]", markdown)))


def words(text: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(text)]


def f1(ours: list[str], reference: list[str]) -> float:
    left, right = grams(ours), grams(reference)
    shared = (left & right).total()
    return 2 * shared / (left.total() + right.total()) if shared else float(left == right)


def grams(words: list[str], size: int = 4) -> Counter[tuple[str, ...]]:
    size = max(1, min(size, len(words)))
    return Counter(zip(*(words[start:] for start in range(size)), strict=False))


def mean(values: Iterable[float]) -> float:
    found = list(values)
    return sum(found) / len(found) if found else 0.0


# --- Code, navigation, anchors ---------------------------------------------------------------------------


def _say_code(pages: dict[Path, bytes], found: dict[Path, Extracted]) -> None:
    kept = total = 0
    missing = []
    for path, body in pages.items():
        fences = Counter(fences_of(found[path].markdown))
        for code in codes_of(body):
            total += 1
            kept += code in fences
            missing += [] if code in fences else [(path, code)]
    if total:
        say(f"code blocks kept: {kept} of {total}, {100 * kept / total:.2f} %")
    for path, code in missing[:5]:
        say("  missing:", path.name, repr(code[:80]))


def codes_of(body: bytes) -> Iterator[str]:
    for pre in BeautifulSoup(body, "lxml").find_all("pre"):
        beside = [tag for tag in pre.parents if isinstance(tag, Tag) and "linenos" in tag.get_attribute_list("class")]
        if not beside and (code := lined(pre.get_text())):
            yield code


def fences_of(markdown: str) -> Iterator[str]:
    for indentation, _, _, code in _FENCE.findall(markdown):
        yield lined(re.sub(f"^{indentation}", "", code, flags=re.MULTILINE))


def lined(code: str) -> str:
    return "\n".join(line.rstrip() for line in dedent(code.strip("\n")).split("\n")).rstrip()


def _say_navigation(found: dict[Path, Extracted]) -> None:
    sample = list(found.items())[:: max(1, len(found) // 50)][:50]
    hits = [(path.name, crumb) for path, page in sample for crumb in NAVIGATION if crumb in page.markdown]
    say(f"navigation text in {len(hits)} of {len(sample)} sampled pages", hits[:5] or "")


def _say_anchors(html: Path, pages: dict[Path, bytes], found: dict[Path, Extracted]) -> None:
    total = dead = 0
    for path, page in found.items():
        ids = set(re.findall(r'(?:id|name)="([^"]+)"', pages[path].decode("utf-8", "replace")))
        total += len(page.anchors)
        dead += len(set(page.anchors.values()) - ids)
    say(f"anchors: {total}, of which {dead} lead nowhere")
    if (html / "objects.inv").is_file():
        _say_inventory(html, pages, found)


def _say_inventory(html: Path, pages: dict[Path, bytes], found: dict[Path, Extracted]) -> None:
    """Labels of sections, as the inventory gives them, against the anchors of those pages."""
    total = missed = 0
    examples = []
    for name, target in section_labels(html / "objects.inv", pages, html):
        page = found.get(page_of(html, target))
        if page is None:
            continue
        total += 1
        if target.partition("#")[2] not in page.anchors.values():
            missed += 1
            examples.append((name, target))
    say(f"labels of sections in objects.inv: {total}, of which {missed} are no anchor of ours", examples[:5] or "")


def section_labels(inventory: Path, pages: dict[Path, bytes], html: Path) -> Iterator[tuple[str, str]]:
    raw = inventory.read_bytes().split(b"\n", 4)[4]
    for line in zlib.decompress(raw).decode("utf-8").splitlines():
        match = re.match(r"(.+?)\s+std:label\s+(-?\d+)\s+(\S+)\s+(.*)$", line)
        if not match:
            continue
        target = match[3].replace("$", match[1])
        fragment = target.partition("#")[2]
        body = pages.get(page_of(html, target), b"")
        if fragment and f'<section id="{fragment}"'.encode() in body:
            yield match[1], target


def page_of(html: Path, target: str) -> Path:
    """The file of an address in the inventory, where ``dirhtml`` names folders."""
    file = target.partition("#")[0]
    return html / (f"{file}index.html" if file.endswith("/") or not file else file)


# --- Articles --------------------------------------------------------------------------------------------


def measure_articles(folder: Path, *, peers: bool) -> None:
    pairs = [
        (page, page.with_suffix(".txt")) for page in sorted(folder.glob("*.html")) if page.with_suffix(".txt").is_file()
    ]
    ours, theirs = [], []
    for page, gold in pairs:
        body, reference = page.read_bytes(), words(gold.read_text(encoding="utf-8"))
        extracted = read(page, body)
        ours.append(f1(words_of_markdown(untitled(extracted.markdown if extracted else "")), reference))
        theirs.append(f1(words_of_markdown(untitled(trafilatura(body))), reference) if peers else 0.0)
        say(f"  {ours[-1]:.3f}  {theirs[-1]:.3f}  {page.name}")
    say(f"articles: {len(pairs)}, F1 ours {mean(ours):.4f}" + (f", trafilatura {mean(theirs):.4f}" if peers else ""))


def untitled(markdown: str) -> str:
    """Without the title's line, which those who mark texts leave out: it is a field of its own."""
    first, _, rest = markdown.partition("\n")
    return rest if first.startswith("# ") else markdown


if __name__ == "__main__":
    main()
