"""A program: a PDF on standard input → its lines as runs of text with their positions, its outline and title as JSON.

It runs in a process of its own, under limits that the kernel enforces: PDFium is C++ that cannot be interrupted from
Python, and a file of a few KB may unfold to gigabytes. It imports nothing of the project.

A run is text of one font that stands on a line without a wide gap: ``[text, left, right, baseline, size, style]``,
where 1 in ``style`` means bold and 2 means that all letters are equally wide. Positions are those of the page turned
so that the run can be read; each line says by how many quarters. An accent that is drawn over a letter is composed
with it.
"""

from __future__ import annotations

import ctypes
import json
import math
import re
import resource
import sys
import unicodedata
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import pypdfium2

# 48 pages of text took 45 MB, a picture book of 8 MB 50 MB; PDFium maps far more than it uses.
MEMORY_BYTES = 512 * 1024**2
# The PDF reference has 1 300 pages and 6 MB of text. A page of text has 50 to 200 runs.
MAX_PAGES, MAX_CHARS, MAX_RUNS, MAX_OUTLINE = 3000, 8_000_000, 500_000, 5000
OUTLINE_DEPTH = 6
PASSWORD_ERROR = 4
# Kinds of destinations that name a position on their page: by left, top, zoom, or by top.
XYZ, FIT_HORIZONTALLY = 1, 3
BOLD, MONOSPACED = 1, 2
FIXED_PITCH_FLAG, BOLD_WEIGHT = 1, 600
# In font sizes: a wider gap parts runs, a baseline that is further away begins a line.
WIDE_GAP, NEXT_LINE = 1.0, 0.8
# Accents as characters of their own → the combining ones.
ACCENTS = dict(zip("`´^ˆ~˜¨¯˘˙˚˝ˇ¸ˋˊ", map(chr, (
    0x300, 0x301, 0x302, 0x302, 0x303, 0x303, 0x308, 0x304, 0x306, 0x307, 0x30A, 0x30B, 0x30C, 0x327, 0x300, 0x301,
)), strict=True))  # fmt: skip
DOTLESS = {"ı": "i", "ȷ": "j"}

# PDFium writes U+FFFE for a hyphen at the end of a line, and no line end after it.
_WORD = re.compile(r"[^\s\ufffe]+\ufffe?|\ufffe")
_ACCENT = re.compile("[{}]".format("".join(map(re.escape, ACCENTS))))

_MONOSPACED = re.compile(
    r"cour|mono|typewriter|cmtt|cmsltt|cmitt|ectt|sltt|consol|menlo|monaco|inconsolata|nimbusmon|lucidasanstyp|fixed"
    r"|(?:source|fira|roboto)-?code",
    re.IGNORECASE,
)
_BOLD = re.compile(r"bold|black|heavy|demi|cmbx|cmssbx|sfbx|ecbx|-medi\b|medi$", re.IGNORECASE)


class Style(NamedTuple):
    """How the characters of one text object are drawn; ``quarters``: turned so often by 90 degrees to the left."""

    size: float
    style: int
    quarters: int


def main() -> None:
    """Write the document's title, number of pages, outline and lines, or the error in it, to standard output."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    import pypdfium2

    try:
        document = pypdfium2.PdfDocument(sys.stdin.buffer.read())
    except pypdfium2.PdfiumError as error:
        found: dict[str, Any] = {"error": "password" if error.err_code == PASSWORD_ERROR else "damaged"}
    else:
        found = {
            "title": document.get_metadata_dict().get("Title", ""),
            "count": len(document),
            "outline": list(islice(outline(document), MAX_OUTLINE)),
            "pages": list(pages(document)),
        }
    json.dump(found, sys.stdout)


def outline(document: pypdfium2.PdfDocument) -> Iterator[tuple[int, str, int, float | None]]:
    """Yield (level, title, page from 0, height on the page or None) of each entry of the outline."""
    for bookmark in document.get_toc(max_depth=OUTLINE_DEPTH):
        target = bookmark.get_dest()
        page = target.get_index() if target else None
        if target is None or page is None:
            continue
        mode, numbers = target.get_view()
        height = {XYZ: numbers[1:2], FIT_HORIZONTALLY: numbers[:1]}.get(mode, [])
        yield bookmark.level, bookmark.get_title(), page, height[0] if height and height[0] else None


def pages(document: pypdfium2.PdfDocument) -> Iterator[list[Any]]:
    """Yield the lines of each page; a damaged page has none."""
    chars = runs = 0
    for number in range(min(len(document), MAX_PAGES)):
        try:
            page = document[number]
            shown = Reader(page.get_textpage()).lines()
            page.close()
        except MemoryError:
            raise
        except Exception:  # one damaged page; the library raises several things
            shown = []
        runs += sum(len(line) for _, line in shown)
        chars += sum(len(run[0]) for _, line in shown for run in line)
        if chars > MAX_CHARS or runs > MAX_RUNS:
            return
        yield shown


class Reader:
    """Reads the words of one page, in the order in which they are drawn, into lines of runs.

    Positions are asked for at the ends of words only: with those of each character a page took three times as long.
    """

    def __init__(self, page: pypdfium2.PdfTextPage) -> None:
        import pypdfium2.raw

        self._pdfium = pypdfium2.raw
        self._owner, self._page = page, page.raw  # the page is closed once nothing refers to the owner
        self._box = self._pdfium.FS_RECTF()
        # As a number: it is only compared, and making an object of it for each word took a tenth of the time.
        self._object_of = self._pdfium.FPDFText_GetTextObject
        self._object_of.restype = ctypes.c_void_p
        self._styles: dict[int, Style] = {}  # by the address of the text object
        self._lines: list[tuple[int, list[list[Any]]]] = []
        self._between = ""  # white space since the last word
        self._last_left = 0.0

    def lines(self) -> list[tuple[int, list[list[Any]]]]:
        """Return (quarters, runs) of each line: how often it is turned by 90 degrees, and its runs of text."""
        count = self._pdfium.FPDFText_CountChars(self._page)
        text = self._owner.get_text_range(errors="surrogatepass") if count else ""
        if len(text) != count:  # some characters are two units or none
            text = "".join(chr(self._pdfium.FPDFText_GetUnicode(self._page, at)) for at in range(count))
        end = 0
        for word in _WORD.finditer(text):
            start = word.start()
            self._between = text[end:start]
            end = word.end()
            self._add_word(word.group(), start, end - 1)
        for _, runs in self._lines:
            for run in runs:
                run[1:4] = [round(position, 1) for position in run[1:4]]
        return self._lines

    def _add_word(self, word: str, first: int, last: int) -> None:
        """Add a word as a whole, or by its characters if they are drawn in several ways or may be accents."""
        style, left, right, baseline = self._drawn(first)
        ends = (style, right, baseline)
        if last > first:
            other, _, right, end = self._drawn(last)
            ends = (other, right, end)
        is_whole = ends[0] == style and abs(ends[2] - baseline) < 0.1 and ends[1] > left
        after_accent = self._lines and self._lines[-1][1][-1][0][-1] in ACCENTS
        if is_whole and not after_accent and not _ACCENT.search(word):
            self._add(word, style, left, right, baseline)
            self._last_left = right - (right - left) / len(word)
            return
        for at, char in enumerate(word, first):
            style, left, right, baseline = self._drawn(at)
            if not self._composed(char, style, left, right):
                self._add(char, style, left, right, baseline)
            self._last_left, self._between = left, ""

    def _drawn(self, at: int) -> tuple[Style, float, float, float]:
        """Return the style, left, right and baseline of a character."""
        self._pdfium.FPDFText_GetLooseCharBox(self._page, at, self._box)
        style = self._style_at(at)
        return style, *turned(self._box, style.quarters)

    def _add(self, word: str, style: Style, left: float, right: float, baseline: float) -> None:
        """Add text to the last run, or to a new one after a gap, in another font or on another line."""
        if self._begins_line(style, left, baseline):
            self._lines.append((style.quarters, [[word, left, right, baseline, style.size, style.style]]))
            return
        runs = self._lines[-1][1]
        run = runs[-1]
        gap, mono = left - run[2], style.style & MONOSPACED
        space = (
            " "
            if self._between and gap > -0.5 * style.size and (gap > 0.1 * style.size or " " in self._between)
            else ""
        )
        if run[5] == style.style and abs(run[4] - style.size) < 0.5 and (gap < WIDE_GAP * style.size or mono):
            # In equally wide letters several spaces in a row mean something, and PDFium hands on one.
            width = (right - left) / len(word)
            count = round(gap / width) if mono and 0 < gap < 200 * width else 1
            run[0] += space * max(1, count) + word
            run[2] = max(run[2], right)
        else:
            runs.append([space + word, left, right, baseline, style.size, style.style])

    def _begins_line(self, style: Style, left: float, baseline: float) -> bool:
        """Return whether text stands on another line than the text before."""
        if not self._lines or self._lines[-1][0] != style.quarters:
            return True
        run = self._lines[-1][1][-1]
        step = abs(baseline - run[3])
        most = NEXT_LINE * max(run[4], style.size) if "\n" not in self._between else 0.3 * min(run[4], style.size)
        return bool(step > most or left < self._last_left - 2 * max(run[4], style.size))

    def _composed(self, char: str, style: Style, left: float, right: float) -> bool:
        """Compose an accent and the letter over which it is drawn; return whether they were a pair."""
        if not self._lines or self._lines[-1][0] != style.quarters:
            return False
        run = self._lines[-1][1][-1]
        last = run[0][-1]
        accent, letter = (last, char) if last in ACCENTS else (char, last)
        if accent not in ACCENTS or not letter.isalpha():
            return False
        overlap = min(right, run[2]) - max(left, self._last_left)
        whole = unicodedata.normalize("NFC", DOTLESS.get(letter, letter) + ACCENTS[accent])
        if len(whole) > 1 or overlap < 0.5 * min(right - left, run[2] - self._last_left):
            return False
        run[0] = run[0][:-1] + whole
        run[2] = max(run[2], right)
        return True

    def _style_at(self, at: int) -> Style:
        """Return how a character is drawn."""
        address = self._object_of(self._page, at) or 0
        if address not in self._styles:
            matrix = self._pdfium.FS_MATRIX()
            self._pdfium.FPDFText_GetMatrix(self._page, at, matrix)
            size = self._pdfium.FPDFText_GetFontSize(self._page, at) * math.hypot(matrix.c, matrix.d)
            quarters = round(math.atan2(matrix.b, matrix.a) / (math.pi / 2)) % 4
            self._styles[address] = Style(round(size, 1) or 1.0, self._font_style(address), quarters)
        return self._styles[address]

    def _font_style(self, address: int) -> int:
        """Return BOLD, MONOSPACED or their sum for the font of a text object, by the font's name, weight and flags.

        0 means neither, or that ``address`` is 0, where there is no object.
        """
        if not address:
            return 0
        font = self._pdfium.FPDFTextObj_GetFont(ctypes.cast(address, self._pdfium.FPDF_PAGEOBJECT))
        name = ctypes.create_string_buffer(128)
        self._pdfium.FPDFFont_GetBaseFontName(font, name, len(name))
        words = name.value.decode(errors="replace")
        is_mono = _MONOSPACED.search(words) or self._pdfium.FPDFFont_GetFlags(font) & FIXED_PITCH_FLAG
        is_bold = _BOLD.search(words) or self._pdfium.FPDFFont_GetWeight(font) >= BOLD_WEIGHT
        return BOLD * bool(is_bold) + MONOSPACED * bool(is_mono)


def turned(box: Any, quarters: int) -> tuple[float, float, float]:
    """Return left, right and bottom of a box on the page turned to the right so often by 90 degrees."""
    if quarters == 0:
        return box.left, box.right, box.bottom
    if quarters == 1:
        return box.bottom, box.top, -box.right
    return (-box.right, -box.left, -box.top) if quarters == 2 else (-box.top, -box.bottom, box.left)


if __name__ == "__main__":
    main()
