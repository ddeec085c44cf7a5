"""The problems this package trains. The harness reads this table and names no task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from core.tasks.abr import AbrTask
from core.tasks.audio import AudioTask
from core.tasks.cataract import CataractTask
from core.tasks.task import Confusion, Objective, Reference, Reliability, Scores, Task

TASKS: Final[Mapping[str, Task]] = {task.name: task for task in (AbrTask(), CataractTask(), AudioTask())}

__all__ = ["TASKS", "Confusion", "Objective", "Reference", "Reliability", "Scores", "Task"]
