"""The harness knows no task by name: the table of tasks is read, and its names stand nowhere in the package."""

from __future__ import annotations

import ast
from pathlib import Path

from core.tasks import TASKS

PACKAGE = Path(__file__).parents[1] / "abr_tune"


def test_no_module_compares_with_or_imports_a_task() -> None:
    """No string of the package is a task's name, and no module of one task is imported."""
    assert len(TASKS) >= 3
    files = sorted(PACKAGE.rglob("*.py"))
    assert len(files) > 100
    found = []
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and node.value in TASKS:
                found.append(f"{file.name}:{node.lineno} says {node.value!r}")
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("core.tasks."):
                name = (node.module or "").removeprefix("core.tasks.")
                if name.partition("_")[0] in TASKS:
                    found.append(f"{file.name}:{node.lineno} imports {node.module}")
    assert not found
