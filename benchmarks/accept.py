"""Acceptance: what an issue promised, measured, item by item.

    python benchmarks/accept.py first-light [--only NAME ...] [--to benchmarks/results/first-light.txt]

Prints one line for each promise: whether it holds, and the numbers behind it. Exits 1 when one does not. The whole list
takes about half an hour on two cores, that of the model three hours; `--only` picks items by name, `--list` names them.
"""

from __future__ import annotations

import argparse
import platform
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from benchmarks import complete_search, first_light, model_list, tasks_list  # noqa: E402
from benchmarks.checks import Check, Measured  # noqa: E402

LISTS: Final[Mapping[str, Mapping[str, Check]]] = {
    "first-light": first_light.CHECKS,
    "search": complete_search.CHECKS,
    "model": model_list.CHECKS,
    "tasks": tasks_list.CHECKS,
}


def judged(name: str, check: Check) -> tuple[str, Measured]:
    """The line of one check; what it raises is a promise not kept, said with the reason."""
    began = time.monotonic()
    try:
        measured = check()
    except Exception as error:  # noqa: BLE001 - a broken check is reported like a broken promise, and the rest still runs
        measured = Measured(False, f"the check broke: {type(error).__name__}: {error}")
    mark = "ok  " if measured.holds else "FAIL"
    lines = measured.text.splitlines() or [""]
    head = f"{mark} {name} ({time.monotonic() - began:.0f} s): {lines[0]}"
    return "\n".join([head, *(f"       {line}" for line in lines[1:])]), measured


def main() -> None:
    """Run the checks of a list and print them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("issue", choices=LISTS)
    parser.add_argument("--only", nargs="+", metavar="NAME", default=[])
    parser.add_argument("--list", action="store_true", help="name the checks and end")
    parser.add_argument("--to", type=Path, help="also write what is printed to this file")
    arguments = parser.parse_args()
    checks = LISTS[arguments.issue]
    if unknown := sorted(set(arguments.only) - set(checks)):
        parser.error(f"no such check: {', '.join(unknown)}; there are {', '.join(checks)}")
    if arguments.list:
        print("\n".join(checks))
        return
    wanted = {name: check for name, check in checks.items() if not arguments.only or name in arguments.only}
    said = [f"{arguments.issue}: {first_light.commit()}, Python {platform.python_version()}, {first_light.machine()}"]
    print(said[0], flush=True)
    kept = True
    for name, check in wanted.items():
        text, measured = judged(name, check)
        print(text, flush=True)
        said.append(text)
        kept = kept and measured.holds
    if arguments.to:
        arguments.to.parent.mkdir(parents=True, exist_ok=True)
        arguments.to.write_text("\n".join(said) + "\n", encoding="utf-8")
    sys.exit(0 if kept else 1)


if __name__ == "__main__":
    main()
