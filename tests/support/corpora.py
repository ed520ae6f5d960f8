"""Labelled cases out of other projects' test files: read as data, never imported or run.

A Python file is parsed, and what it writes out in full (a call and what it must give) is taken from the syntax.
"""

from __future__ import annotations

import ast
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

# --- html5lib's own formats -----------------------------------------------------------------------------

SECTION = re.compile(
    rb"^#(data|errors|new-errors|document-fragment|document|script-off|script-on|encoding)(?:\n|\Z)", re.MULTILINE
)
DRAWN = re.compile(r"\| ( *)(.*)", re.DOTALL)
ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")
LIST_NUMBER = re.compile(r"^\s*\d+\. ", re.MULTILINE)


def sections(body: bytes) -> list[dict[str, bytes]]:
    """The cases of a .dat file, each as its sections."""
    cases: list[dict[str, bytes]] = []
    _, *parts = SECTION.split(body)
    for name, text in zip(parts[::2], parts[1::2], strict=True):
        if name == b"data":
            cases.append({})
        cases[-1][name.decode()] = text.removesuffix(b"\n")
    return cases


def shown(drawing: bytes, hidden: frozenset[str]) -> str:
    """The text of a drawn tree, but for what stands in elements of these names."""
    texts: list[str] = []
    path: list[str] = []
    for item in re.split(r"\n(?=\| )", drawing.decode()):
        found = DRAWN.match(item)
        if found is None:
            continue
        del path[len(found[1]) // 2 :]
        if found[2].startswith('"') and hidden.isdisjoint(path):
            texts.append(found[2][1:].removesuffix('"'))
        elif found[2].startswith("<"):
            path.append(found[2].strip("<>").partition(" ")[0])
        else:  # the contents of a template, or an attribute
            path.append("")
    return " ".join(texts)


def token_cases(body: bytes) -> list[tuple[str, str | None]]:
    """Input and the characters that a tokenizer gives for it; None where it does not start in the middle of text."""
    return [_token_case(case) for case in json.loads(body).get("tests", [])]


def _token_case(case: dict[str, Any]) -> tuple[str, str | None]:
    text, tokens = case["input"], [token for token in case["output"] if isinstance(token, list)]
    characters = "".join(token[1] for token in tokens if token[0] == "Character")
    if case.get("doubleEscaped"):
        text, characters = _unescaped(text), _unescaped(characters)
    in_text = case.get("initialStates", ["Data state"]) == ["Data state"]
    return text, characters if in_text else None


def _unescaped(text: str) -> str:
    return ESCAPE.sub(lambda found: chr(int(found[1], 16)), text)


def letters(text: str) -> Counter[str]:
    """What can be compared of two texts, whatever their marks, blanks and order: foster parents change the order."""
    return Counter(re.findall(r"\w", LIST_NUMBER.sub("", text)))


# --- Python's syntax ------------------------------------------------------------------------------------


def function(source: bytes, name: str) -> ast.FunctionDef:
    """The function, or the method, of that name."""
    (found,) = (n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.FunctionDef) and n.name == name)
    return found


def compared(node: ast.AST, called: str) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """``assert called(1, 2) == 3`` → ((1, 2), 3), whichever side it stands on, wherever all is written out."""
    for test in (n.test for n in ast.walk(node) if isinstance(n, ast.Assert)):
        if not isinstance(test, ast.Compare) or len(test.ops) > 1:
            continue
        sides = (test.left, test.comparators[0])
        for call, other in (sides, sides[::-1]):
            if (
                isinstance(call, ast.Call)
                and name_of(call.func) == called
                and all(map(is_literal, [*call.args, other]))
            ):
                yield tuple(literal(argument) for argument in call.args), literal(other)


def expected(node: ast.AST, called: str) -> list[Any]:
    """What the results of ``called`` are compared with, whatever its arguments."""
    tests = (n.test for n in ast.walk(node) if isinstance(n, ast.Assert) and isinstance(n.test, ast.Compare))
    sides = ((test.left, test.comparators[0]) for test in tests)
    return [literal(b) for a, b in sides if isinstance(a, ast.Call) and name_of(a.func) == called]


def calls(node: ast.AST, called: str) -> Iterator[list[ast.expr]]:
    for call in ast.walk(node):
        if isinstance(call, ast.Call) and name_of(call.func) == called:
            yield call.args


def parametrized(test: ast.FunctionDef) -> list[tuple[Any, ...]]:
    """The rows of a test's ``pytest.mark.parametrize``."""
    (rows,) = (args[1] for mark in test.decorator_list for args in calls(mark, "parametrize"))
    return list(ast.literal_eval(rows))


def assigned(node: ast.AST, name: str) -> list[Any]:
    """All that is assigned to a name and written out in full."""
    found = (n for n in ast.walk(node) if isinstance(n, ast.Assign) and name_of(n.targets[0]) == name)
    return [literal(n.value) for n in found if is_literal(n.value)]


class _Values(ast.NodeTransformer):
    def __init__(self, test: ast.FunctionDef) -> None:
        found = (n for n in ast.walk(test) if isinstance(n, ast.Assign) and is_literal(n.value))
        self.values = {name_of(n.targets[0]): n.value for n in found}

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return self.values.get(node.id, node)


def with_values(test: ast.FunctionDef) -> ast.AST:
    """A test in which names stand for what was last assigned to them, so that its calls are written out."""
    return _Values(test).visit(test)  # type: ignore[no-any-return]


def name_of(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def is_literal(node: ast.expr) -> bool:
    try:
        literal(node)
    except ValueError:
        return False
    return True


def literal(node: ast.expr) -> Any:
    """A literal, or a text that is encoded where it stands."""
    if isinstance(node, ast.Call) and name_of(node.func) == "encode" and isinstance(node.func, ast.Attribute):
        return ast.literal_eval(node.func.value).encode(*map(ast.literal_eval, node.args))
    return ast.literal_eval(node)


def flattened(groups: Iterable[Iterable[Any]]) -> list[Any]:
    return [item for group in groups for item in group]
