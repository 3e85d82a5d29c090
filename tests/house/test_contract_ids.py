"""The contract's docstring names every id that its rows carry, and none besides."""

import ast
import pathlib
import re

CONTRACT = pathlib.Path(__file__).parents[1] / "contract"
ID = re.compile(r"[A-Z]{2,3}-\d{2}")


def test_the_docstring_names_the_ids_of_all_rows():
    carried = {
        node.value
        for file in CONTRACT.rglob("test_*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and ID.fullmatch(node.value)
    }
    named = set(ID.findall(ast.get_docstring(ast.parse((CONTRACT / "conftest.py").read_text(encoding="utf-8")))))
    assert named == carried, f"missing: {sorted(carried - named)}; without a row: {sorted(named - carried)}"
