"""`abr-tune run`: from a plan to a confirmed best configuration, step by step."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from abr_tune import environment
from abr_tune.console import Scoreboard, parameters, stderr_console, watching
from abr_tune.errors import Exit, UserError
from abr_tune.export import write_best
from abr_tune.finalists import Finalist, finalist, leaders, rank
from abr_tune.gate import judge_gate
from abr_tune.journal import journal
from abr_tune.plan.plan import Plan
from abr_tune.plan.yaml import dump
from abr_tune.runs import RunFolder, check_name, sole_driver, write_atomically, write_json
from abr_tune.search.events import EpochDone, Event, Listener, TrialRecord
from abr_tune.summary import Spent, sentences, summarise

log = logging.getLogger("abr_tune")


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """How a run is carried out; what is searched stands in the plan."""

    out: Path = Path("results")
    jobs: int | None = None
    storage: str | None = None
    executor: Literal["ray", "inline"] = "ray"
    address: str | None = None
    fresh: bool = False
    json: bool = False
    started: float = field(default_factory=time.monotonic)
    """Monotonic time at which the command began."""
