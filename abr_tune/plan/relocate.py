"""Options with relative paths, said from another folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic_core import to_jsonable_python


def code_folder(task_name: str, *, old: Path, new: Path) -> str | None:
    """Folder `old`, with the module of a task of one's own, said from folder `new`; None for a task of this package."""
    return os.path.relpath(old.resolve(), new.resolve()) if ":" in task_name else None


def relocated(options: BaseModel, *, old: Path, new: Path) -> dict[str, Any]:
    """Options as plain data whose relative paths mean from folder `new` what they meant from folder `old`."""

    def moved(value: Any) -> Any:
        if isinstance(value, Path):
            return str(value) if value.is_absolute() else os.path.relpath(old.resolve() / value, new.resolve())
        if isinstance(value, Mapping):
            return {name: moved(item) for name, item in value.items()}
        return [moved(item) for item in value] if isinstance(value, list | tuple) else value

    plain: dict[str, Any] = to_jsonable_python(moved(options.model_dump(by_alias=True)))
    return plain
