"""A run's folder before the run: made, found again, or set aside."""

from __future__ import annotations

import json
import logging
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final

from pydantic_core import to_jsonable_python

from abr_tune.borders import as_damage
from abr_tune.errors import AbrTuneError, OurFault, UserError, unforeseen
from abr_tune.plain import LogLines
from abr_tune.plan import yaml
from abr_tune.plan.changes import changes
from abr_tune.plan.describe import describe_plan
from abr_tune.plan.overrides import defaults_of
from abr_tune.plan.plan import Plan
from abr_tune.runs import LOCK, RunFolder, write_atomically
from abr_tune.since import changed
from abr_tune.stages.folder import stages_in

FIXED: Final = ("task", "data", "objective", "constraints", "train", "seed")
"""Keys that give a trial's score its meaning: with another value, scores of one run could not be compared."""

ASIDE: Final = ".aside"
"""File in a folder whose run is being set aside: the name of the folder beside it that its files go to."""
SET_ASIDE: Final = re.compile(r"(.+)\.\d{8}T\d{6}")
"""What a run is called that was set aside: its name, and when."""
ALWAYS: Final = ("task", "data", "train", "objective", "seed")
"""Of these, what every version wrote down."""

NOT_COMPARABLE: Final = (
    "scores would not be comparable; give this run another name with --name, or set the old one aside with --fresh"
)


@contextmanager
def prepare(
    folder: RunFolder, plan: Plan, *, fresh: bool, say: Callable[[str], None], storage: str | None = None
) -> Iterator[None]:
    """Make or continue the folder and keep its log while the run lasts; `storage` is the study's, if not in the folder.

    Raises:
        UserError: the folder holds a run of something else; it is left as it is.
        StorageFault: the study that is to be set aside cannot be reached.
        EnvironmentFault: the disk is full.
        OurFault: something unforeseen ended the run; the folder's log has the traceback.
    """
    go_on_setting_aside(folder, storage, say)
    if fresh:
        set_aside(folder, storage, say)
    if stages_in(folder.path) is not None:
        raise UserError(
            f"{folder.path} holds a run of stages: give this one another name with --name, or set the old one aside "
            "with --fresh"
        )
    described = describe_plan(plan)
    # Before the first event nothing was trained: a file that was mended meanwhile spoils no comparison.
    if folder.plan.exists() and folder.events.exists():
        with as_damage(folder.path):
            for sentence in _going_on(folder, plan, described):
                say(sentence)
    folder.path.mkdir(parents=True, exist_ok=True)
    write_atomically(folder.space, plan.file.read_text(encoding="utf-8"))
    write_atomically(folder.plan, yaml.dump(described))
    with kept_log(folder):
        yield


@contextmanager
def kept_log(folder: RunFolder) -> Iterator[None]:
    """Write messages, and how the run ended if it did not by itself, to the folder's log.

    Raises:
        EnvironmentFault: the disk is full.
        OurFault: something unforeseen ended the run; the folder's log has the traceback.
    """
    handler = logging.FileHandler(folder.log, encoding="utf-8")
    handler.setFormatter(LogLines("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logger = logging.getLogger("abr_tune")
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    try:
        yield
    except UserError as mistake:
        logger.error("the run ended: %s", mistake)
        raise
    except AbrTuneError:
        logger.exception("the run ended")
        raise
    except Exception as fault:
        logger.exception("the run ended")
        raise unforeseen(fault, str(folder.log), folder.path) from fault
    finally:
        logger.removeHandler(handler)
        handler.close()


@contextmanager
def nothing_left_of_a_refusal(folder: RunFolder) -> Iterator[None]:
    """Take the folder away again when the run is refused before anything happened in it; an older one stays.

    To be entered by the run's driver alone: the folder may be somebody else's otherwise.
    """
    new = not folder.path.exists() or all(entry.name == LOCK for entry in folder.path.iterdir())
    try:
        yield
    except OurFault:  # its message names the log in the folder
        raise
    except AbrTuneError:
        if new and not folder.events.exists():
            shutil.rmtree(folder.path, ignore_errors=True)
        raise


def _going_on(folder: RunFolder, plan: Plan, described: Mapping[str, Any]) -> Iterator[str]:
    """What is otherwise than when the run was begun, in sentences. Raises `UserError` for a run of something else."""
    written = yaml.read(folder.plan, limits=yaml.WRITTEN_OUT).data
    lost = [key for key in ALWAYS if not isinstance(written, Mapping) or key not in written]
    if lost:
        raise UserError(
            f"{folder.plan} is damaged, it does not say {', '.join(lost)}: put a copy of it back, or set this run "
            "aside with --fresh"
        )
    for key in written.keys() - described.keys():
        yield f"{key} stands in {folder.plan} and is not known to this version: it is not compared"
    defaults = {"train": defaults_of(plan.task.options, {}), "data": _defaults_of_data(plan)}
    stored = {**written, **{key: _filled(written[key], defaults[key]) for key in ("train", "data") if key in written}}
    _refuse_another(folder, stored, described)
    if folder.environment.exists():
        then = json.loads(folder.environment.read_text(encoding="utf-8"))
        for change in changed({"versions": then["versions"]}, ""):
            yield f"changed: {change.what}: {change.was} is now {change.now}"
    for key in ("train", "data"):
        for path, old, new in differences(written.get(key), stored.get(key), key):
            if old is None:
                yield f"{path} was not written down when this run was begun: taken for {new!r}, the default of now"
    for sentence in changes(stored, plan):
        yield f"changed: {sentence}"


def _defaults_of_data(plan: Plan) -> Mapping[str, Any]:
    if plan.data is None:
        return {}
    return {
        field.alias or name: to_jsonable_python(field.get_default(call_default_factory=True))
        for name, field in type(plan.data).model_fields.items()
        if not field.is_required()
    }


def _filled(written: Any, defaults: Any) -> Any:
    """What an older version wrote, with what it did not know yet as it is by default."""
    if not (isinstance(written, Mapping) and isinstance(defaults, Mapping)):
        return written
    inner = {key: _filled(value, defaults[key]) if key in defaults else value for key, value in written.items()}
    return {**defaults, **inner}


def _refuse_another(folder: RunFolder, stored: Mapping[str, Any], described: Mapping[str, Any]) -> None:
    found = [
        f"  {path}: was {_said(old)}, is {_said(new)}"
        for key in FIXED
        for path, old, new in differences(stored.get(key, {}), described.get(key, {}), key)
    ]
    if (before := weights_of(stored)) != (now := weights_of(described)):
        found.append(f"  from.weights: was {_said(before)}, is {_said(now)}")
    if found:
        raise UserError(f"{folder.path} holds a run of something else:\n" + "\n".join(found) + f"\n{NOT_COMPARABLE}")


def weights_of(described: Mapping[str, Any]) -> str | None:
    """SHA-256 of the weights that the trainings of a described plan begin from."""
    since = described.get("from")
    return str(since["weights"]) if isinstance(since, Mapping) and "weights" in since else None


def _said(value: Any) -> str:
    return "not set" if value is None else repr(value)


def differences(old: Any, new: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Where two resolved plans differ: the dotted path, what the old one says there and what the new one."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in sorted({*old, *new}):
            yield from differences(old.get(key), new.get(key), f"{path}.{key}" if path else key)
    elif old != new:
        yield path, old, new


def set_aside(folder: RunFolder, storage: str | None, say: Callable[[str], None]) -> None:
    """Move an earlier run to a folder beside, whose name says when; its study is renamed likewise."""
    target = f"{folder.name}.{datetime.now(UTC).strftime('%Y%m%dT%H%M%S')}"
    if folder.plan.exists():
        # Whoever is killed on the way leaves this, and the next driver goes on.
        write_atomically(folder.path / ASIDE, target)
        go_on_setting_aside(folder, storage, say)
    elif storage is not None:
        _rename(storage, folder.name, target)


def go_on_setting_aside(folder: RunFolder, storage: str | None, say: Callable[[str], None]) -> None:
    """Move what an earlier run left to the folder beside, and its study to that name; the folder itself stays.

    The lock of its driver lies in it.
    """
    if not (folder.path / ASIDE).exists():
        return
    name = (folder.path / ASIDE).read_text(encoding="utf-8")
    match = SET_ASIDE.fullmatch(name)
    if match is None or match[1] != folder.name:  # the folder may come from anybody
        raise UserError(f"{folder.path / ASIDE} names no place for {folder.path} to be set aside: {name!r}; remove it")
    if storage is not None:
        _rename(storage, folder.name, name)
    target = folder.path.with_name(name)
    target.mkdir(exist_ok=True)
    for entry in folder.path.iterdir():
        if entry.name not in {LOCK, ASIDE}:
            entry.rename(target / entry.name)
    (folder.path / ASIDE).unlink()
    say(f"the earlier run was set aside: {target}")


def _rename(storage: str, name: str, new: str) -> None:
    from abr_tune.search.archive import rename_study

    rename_study(storage, name, new)
