"""A run's folder before the run: made, found again, or set aside."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final

from abr_tune.errors import AbrTuneError, UserError, unforeseen
from abr_tune.plan import yaml
from abr_tune.plan.describe import describe_plan
from abr_tune.plan.plan import Plan
from abr_tune.runs import RunFolder, write_atomically

FIXED: Final = ("task", "data", "objective", "train", "seed")
"""Keys that give a trial's score its meaning: with another value, scores of one run could not be compared."""

NOT_COMPARABLE: Final = (
    "scores would not be comparable; give this run another name with --name, or set the old one aside with --fresh"
)


@contextmanager
def prepare(folder: RunFolder, plan: Plan, *, fresh: bool, say: Callable[[str], None]) -> Iterator[None]:
    """Make or continue the folder and keep its log while the run lasts.

    Raises:
        UserError: the folder holds a run of something else; it is left as it is.
        EnvironmentFault: the disk is full.
        OurFault: something unforeseen ended the run; the folder's log has the traceback.
    """
    if fresh:
        _set_aside(folder, say)
    described = describe_plan(plan)
    # Before the first event nothing was trained: a file that was mended meanwhile spoils no comparison.
    if folder.plan.exists() and folder.events.exists():
        _refuse_another(folder, described)
    folder.path.mkdir(parents=True, exist_ok=True)
    write_atomically(folder.space, plan.file.read_text(encoding="utf-8"))
    write_atomically(folder.plan, yaml.dump(described))
    handler = logging.FileHandler(folder.log, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logger = logging.getLogger("abr_tune")
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    try:
        yield
    except AbrTuneError:
        logger.exception("the run ended")
        raise
    except Exception as fault:
        logger.exception("the run ended")
        raise unforeseen(fault, str(folder.log)) from fault
    finally:
        logger.removeHandler(handler)
        handler.close()


def _refuse_another(folder: RunFolder, described: Mapping[str, Any]) -> None:
    stored: Mapping[str, Any] = yaml.read(folder.plan).data
    differences = [
        f"  {path}: was {old!r}, is {new!r}"
        for key in FIXED
        for path, old, new in _differences(key, stored.get(key), described.get(key))
    ]
    if differences:
        raise UserError(
            f"{folder.path} holds a run of something else:\n" + "\n".join(differences) + f"\n{NOT_COMPARABLE}"
        )


def _differences(path: str, old: Any, new: Any) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in sorted({*old, *new}):
            yield from _differences(f"{path}.{key}", old.get(key), new.get(key))
    elif old != new:
        yield path, old, new


def _set_aside(folder: RunFolder, say: Callable[[str], None]) -> None:
    if not folder.plan.exists():
        return
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    target = folder.path.with_name(f"{folder.name}.{stamp}")
    # The folder itself stays: the lock of its driver lies in it.
    target.mkdir()
    for entry in folder.path.iterdir():
        if entry.name != ".driver":
            entry.rename(target / entry.name)
    say(f"the earlier run was set aside: {target}")
