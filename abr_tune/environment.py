"""What a run was made with: versions, machine, commit, seeds, data fingerprint."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from abr_tune import __version__
from abr_tune.cgroups import cpu_quota

CARDS: Final = Path("/proc/driver/nvidia/gpus")
"""A folder for each card that NVIDIA's driver drives."""
LIBRARIES: Final = ("torch", "ray", "optuna", "numpy", "scipy", "scikit-learn", "pydantic")


def versions() -> dict[str, str]:
    """Installed versions of abr-tune, Python and the libraries that numbers depend on."""
    found = {"abr-tune": __version__, "python": platform.python_version()}
    for library in LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            continue
    return found


def commit() -> str | None:
    """The commit of the checkout this package runs from, marked when the tree was changed; None outside a checkout."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() or None


def cores() -> int:
    """Processor cores this process may use: those it is bound to, and of these no more than a container's quota."""
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cpu_quota()
    return bound if quota is None else max(1, min(bound, int(quota)))


def gpus() -> int:
    """Graphics cards torch can use."""
    import torch

    return torch.cuda.device_count()


def cards() -> list[str]:
    """Names of NVIDIA's graphics cards, as their driver tells them; torch is not asked."""
    if not CARDS.is_dir():
        return []
    told = [file.read_text(errors="replace") for file in sorted(CARDS.glob("*/information"))]
    found = [re.search(r"^Model:\s*(.+?)\s*$", text, re.MULTILINE) for text in told]
    return [match[1] for match in found if match is not None]


def machine() -> dict[str, Any]:
    """The machine this process runs on."""
    there: dict[str, Any] = {"system": platform.platform(), "processor": platform.machine(), "cores": cores()}
    return there | ({"cards": named} if (named := cards()) else {})


def describe(
    *, seed: int, confirmation_seeds: list[int], fingerprint: str, launch: Mapping[str, Any], code: str | None
) -> dict[str, Any]:
    """The content of `environment.json`; `code` is the folder of a task of one's own, relative to the run's."""
    return {
        "versions": versions(),
        "commit": commit(),
        "machine": machine(),
        "seeds": {"search": seed, "confirmation": confirmation_seeds},
        "data_fingerprint": fingerprint,
        "launch": dict(launch),
        "code": code,
    }
