"""The ABR task: hearing-loss class, threshold, wave V and the denoised signal from one recording."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import BaseModel

from core.tasks.abr_options import AbrData, AbrOptions
from core.tasks.task import Objective, Task


class AbrTask(Task):
    """Joins recordings, network, losses, metrics and health profile."""

    name: ClassVar[str] = "abr"
    options: ClassVar[type[BaseModel]] = AbrOptions
    data: ClassVar[Any] = AbrData
    objective: ClassVar[Objective | None] = Objective("val/class/f1_macro")
