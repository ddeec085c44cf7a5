"""From the name of a task to the task: the table of this package, or a module of the user's own when trusted."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from abr_tune.errors import UserError
from abr_tune.plan.explain import suggest
from core.tasks import TASKS, Task

REQUIRED = ("name", "options", "train")
INSTALLED = ("site-packages", "dist-packages")


class UnknownTask(UserError):
    """A task that cannot be had: why, and what to do."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message, hint)

    @property
    def message(self) -> str:
        """What is wrong."""
        return str(self.args[0])

    @property
    def hint(self) -> str | None:
        """What to do."""
        hint: str | None = self.args[1]
        return hint

    def __str__(self) -> str:
        return f"{self.message}; {self.hint}" if self.hint else self.message


def find_task(name: str, *, trust_code: bool = False, folders: Iterable[Path] = ()) -> Task:
    """The task of that name. `module:attribute` is imported, looked for in `folders` first, only when trusted.

    Raises `UnknownTask`. What the module itself raises on import is in the message and chained.
    """
    if ":" not in name:
        if name in TASKS:
            return TASKS[name]
        known = ", ".join(TASKS)
        raise UnknownTask(f"{name} is not a task; there are {known}, or module:attribute", suggest(name, TASKS))
    if not trust_code:
        raise UnknownTask(f"{name} is code of your own", "--trust-code imports it, which runs whatever stands in it")
    module, _, attribute = name.partition(":")
    return _as_task(name, _imported(name, module, attribute, folders))


def code_root(name: str) -> Path | None:
    """The folder from which the module of a task of one's own was imported, which a cluster's workers need.

    None for a task of this package, and for one that is installed as a package, as it must be there too.
    """
    if ":" not in name:
        return None
    module = name.partition(":")[0]
    file = getattr(sys.modules.get(module), "__file__", None)
    if file is None:
        return None
    path = Path(file).resolve()
    levels = module.count(".") + (path.name == "__init__.py")
    root = path.parents[levels]
    return None if root.name in INSTALLED else root


def _imported(name: str, module: str, attribute: str, folders: Iterable[Path]) -> Any:
    for folder in reversed([str(folder.resolve()) for folder in folders]):
        if folder not in sys.path:
            sys.path.insert(0, folder)
    try:
        found = importlib.import_module(module)
    except Exception as fault:
        raise UnknownTask(f"{module} cannot be imported: {type(fault).__name__}: {fault}") from fault
    if not hasattr(found, attribute):
        hint = suggest(attribute, [known for known in vars(found) if not known.startswith("_")])
        raise UnknownTask(f"{module} has no {attribute}", hint)
    return getattr(found, attribute)


def _as_task(name: str, found: Any) -> Task:
    """The object itself when it is a `Task`; otherwise a task that has what the object has, and the defaults."""
    if isinstance(found, type):
        found = found()
    missing = [attribute for attribute in REQUIRED if not hasattr(found, attribute)]
    if missing:
        raise UnknownTask(f"{name} has no {', '.join(missing)}", "a task has a name, options and train")
    if not (isinstance(found.options, type) and issubclass(found.options, BaseModel)):
        raise UnknownTask(f"the options of {name} must be a pydantic model")
    _refuse_signature(name, found)
    if isinstance(found, Task):
        return found
    task = Task()
    for attribute in vars(Task):
        if not attribute.startswith("_") and hasattr(found, attribute):
            setattr(task, attribute, getattr(found, attribute))
    for attribute in ("name", "options"):  # declared but not set in Task
        setattr(task, attribute, getattr(found, attribute))
    return task


def _refuse_signature(name: str, found: Any) -> None:
    """Five trials would fail before anybody learnt of a `train` that cannot be called."""
    keywords: dict[str, Any] = {"seed": 0, "checkpoint": Path()}
    if getattr(found, "data", None) is not None:
        keywords["data"] = None
    try:
        inspect.signature(found.train).bind(None, **keywords)
    except TypeError as fault:
        call = f"train(options, *, {', '.join(keywords)})"
        raise UnknownTask(f"{name} cannot be called as {call}: {fault}") from fault
