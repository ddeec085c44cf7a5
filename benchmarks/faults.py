"""The battery: a search is killed, starved, fed rubbish and attacked, and has to be right afterwards.

    python -m benchmarks.faults [--only NAME ...] [--to benchmarks/results/faults.txt]

Prints one line for each kind of fault: how often it was tried, what is promised, what happened. Exits 1 when a promise
is not kept. The whole battery takes twelve minutes on two idle cores; `--only` picks parts by name, `--list` names
them. Parts run two at a time, each in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path
from typing import Final

from benchmarks.battery import data_files, doors, endings, kills, orphans, postgresql, space_files, storage, workers
from benchmarks.battery.row import Part, Row
from benchmarks.first_light import commit, machine

PARTS: Final[Mapping[str, Part]] = {
    "endings-ray": endings.on_ray,
    "inline": kills.inline,
    "ray": kills.on_ray,
    "endings": endings.inline,
    "workers": workers.workers,
    "storage": storage.storage,
    "postgresql": postgresql.postgresql,
    "orphans": orphans.orphans,
    "doors": doors.doors,
    "data-files": data_files.data_files,
    "confirmation": kills.confirmation,
    "paused": kills.paused,
    "space-files": space_files.space_files,
}
"""The longest first, so that none is left alone at the end."""
AT_A_TIME: Final = 2
COLUMNS: Final = ("", "fault", "times", "promised", "happened")


def main() -> int:
    """Run the parts and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="+", metavar="NAME", default=list(PARTS))
    parser.add_argument("--list", action="store_true", help="name the parts and end")
    parser.add_argument("--to", type=Path, help="also write what is printed to this file")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.part:
        return _one(arguments.part)
    if unknown := sorted(set(arguments.only) - set(PARTS)):
        parser.error(f"no such part: {', '.join(unknown)}; there are {', '.join(PARTS)}")
    if arguments.list:
        print("\n".join(PARTS))
        return 0
    head = f"faults: {commit()}, Python {platform.python_version()}, {machine()}"
    print(head, flush=True)
    began = time.monotonic()
    rows = list(_all([name for name in PARTS if name in arguments.only]))
    kept = bool(rows) and all(row.kept for row in rows)
    text = "\n".join([head, "", *_table(rows), "", _closing(rows, time.monotonic() - began)])
    print(text.partition("\n")[2])
    if arguments.to:
        arguments.to.parent.mkdir(parents=True, exist_ok=True)
        arguments.to.write_text(text + "\n", encoding="utf-8")
    return 0 if kept else 1


def _one(name: str) -> int:
    """Run one part here and print its rows, one JSON object a line."""
    with tempfile.TemporaryDirectory(prefix="faults-", ignore_cleanup_errors=True) as folder:
        # Storages that a part names are remembered apart from those of whoever runs the battery.
        os.environ["XDG_STATE_HOME"] = f"{folder}/.state"
        for row in PARTS[name](Path(folder)):
            print(json.dumps(asdict(row)), flush=True)
    return 0


def _all(names: Sequence[str]) -> Iterator[Row]:
    """The rows of these parts, in their order; says on standard error when a part is over."""
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        futures = {pool.submit(_apart, name): name for name in names}
        found = {}
        for future in as_completed(futures):
            name = futures[future]
            found[name], seconds = future.result()
            broken = [row.fault for row in found[name] if not row.kept]
            said = f"NOT KEPT: {', '.join(broken)}" if broken else "kept"
            print(f"{name}: {len(found[name])} kinds of faults in {seconds:.0f} s, {said}", file=sys.stderr, flush=True)
    for name in names:
        yield from found[name]


def _apart(name: str) -> tuple[list[Row], float]:
    began = time.monotonic()
    command = [sys.executable, "-m", "benchmarks.faults", "--part", name]
    done = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False)
    rows = [Row(**json.loads(line)) for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode or not rows:
        last = (done.stderr.strip().splitlines() or ["nothing was said"])[-1]
        rows.append(Row(fault=name, times=0, promised="the part runs to its end", happened=last, holds=False))
    return rows, time.monotonic() - began


def _table(rows: Sequence[Row]) -> Iterator[str]:
    cells = [COLUMNS, *(("ok" if r.kept else "FAIL", r.fault, str(r.times), r.promised, r.happened) for r in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(COLUMNS))]
    for line in cells:
        yield "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()


def _closing(rows: Sequence[Row], seconds: float) -> str:
    kept = sum(row.kept for row in rows)
    return f"{kept} of {len(rows)} promises kept, {sum(row.times for row in rows)} faults, {seconds / 60:.1f} minutes"


if __name__ == "__main__":
    sys.exit(main())
