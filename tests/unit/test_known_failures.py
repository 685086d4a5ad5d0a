"""The page of known failures names tests, and they are there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "known-failures.md"
NAMED = re.compile(r"^- `([^`]+)::([^`]+)`(?: \((.*)\))?$", flags=re.MULTILINE)


def functions_of(path: Path) -> dict[str, str]:
    """A test file's functions, each with the source of its marks and parameters, and of the file's."""
    tree = ast.parse(path.read_text())
    common = [
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "pytestmark"
    ]
    return {
        node.name: " ".join(map(ast.unparse, [*common, *node.decorator_list]))
        for node in tree.body
        if isinstance(node, ast.FunctionDef)
    }


def test_every_named_test_exists_and_its_mark_is_told() -> None:
    """Who follows the page finds what it promises; what `make test` leaves out is said there."""
    named = NAMED.findall(PAGE.read_text())
    assert len(named) == PAGE.read_text().count("\n- ")
    for path, name, remark in named:
        marks = functions_of(ROOT / path)[name]
        for mark in ("slow", "chaos"):
            is_left_out = f"pytest.mark.{mark}" in marks.replace(f"marks=pytest.mark.{mark}", "")
            assert is_left_out == (mark in remark), (path, name)


def test_every_family_has_tests() -> None:
    """A heading alone prevents nothing."""
    families = PAGE.read_text().split("\n## ")[1:]
    assert len(families) >= 11
    assert all(NAMED.search(family) for family in families)
