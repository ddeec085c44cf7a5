"""`watch.jsonl` beside the checkpoints: the steps that were looked at, one a line.

{"epoch": 3, "step": 60, "fold": 0, "lr": 0.001, "total": 2.1, "losses": {}, "grad_norm": 0.8, "grad_norms": {},
 "grad_cosines": {}, "parts": {}, "predicted": {}, "attention_entropy": 0.7}

A training that goes on from a checkpoint drops the lines after it: interrupted or not, the file is the same. It holds
at most `core.training.watch.MOST_LOOKS` lines.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

NAME: Final = "watch.jsonl"


class WatchLog:
    """Lines on steps, in a folder of checkpoints."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME

    def cut_after(self, epoch: int) -> None:
        """Drop what was written on later epochs, and all that follows a damaged line."""
        if not self.path.is_file():
            return
        lines = self.path.read_bytes().splitlines(keepends=True)
        kept = 0
        while kept < len(lines) and _is_up_to(lines[kept], epoch):
            kept += 1
        if kept < len(lines):
            with self.path.open("r+b") as file:
                file.truncate(sum(map(len, lines[:kept])))

    def write(self, row: Mapping[str, Any]) -> None:
        """Add a line."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row, allow_nan=False, ensure_ascii=False) + "\n")


def read_watch_log(folder: Path) -> list[dict[str, Any]]:
    """The rows in a folder of checkpoints, up to a line that a crash has torn; empty where nothing was watched."""
    path = folder / NAME
    if not path.is_file():
        return []
    rows = []
    for line in path.read_bytes().splitlines(keepends=True):
        if (row := _row(line)) is None:
            break
        rows.append(row)
    return rows


def _row(line: bytes) -> dict[str, Any] | None:
    try:
        row = json.loads(line) if line.endswith(b"\n") else None
    except ValueError:
        return None
    return row if isinstance(row, dict) else None


def _is_up_to(line: bytes, epoch: int) -> bool:
    row = _row(line)
    return row is not None and isinstance(row.get("epoch"), int) and row["epoch"] <= epoch
