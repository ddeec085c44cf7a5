"""The problems this package trains. The harness reads this table and names no task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from core.tasks.abr import AbrTask
from core.tasks.task import Objective, Reference, Scores, Task

TASKS: Final[Mapping[str, Task]] = {task.name: task for task in (AbrTask(),)}

__all__ = ["TASKS", "Objective", "Reference", "Scores", "Task"]
