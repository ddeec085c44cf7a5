"""What a check of an acceptance list is, and how one runs the commands of the project."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True)
class Measured:
    """Whether a promise holds, and what was measured."""

    holds: bool
    text: str


Check = Callable[[], Measured]


def abr_tune(*arguments: str, cwd: Path, timeout: float = 1200, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run the command of this environment in `cwd`; its output is captured."""
    command = [str(Path(sys.executable).parent / "abr-tune"), *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=timeout, check=False, **options)


def plain_environment() -> dict[str, str]:
    """This environment without what would let a fresh virtual environment see the present one."""
    return {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "VIRTUAL_ENV"}}
