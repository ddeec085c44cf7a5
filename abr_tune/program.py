"""Saved weights as a program of torch's own format, for runtimes without this package."""

from __future__ import annotations

from pathlib import Path

from abr_tune.errors import UserError
from abr_tune.export import newest_weights, number_of
from abr_tune.plan.config import load_config
from abr_tune.runs import RunFolder, find_run
from abr_tune.stages.folder import one_search
from abr_tune.trial import CONFIG
from abr_tune.weights import Trained, find_trained
from core.tasks.task import Exported


def export_program(
    name: str, trial: str, *, out: Path, to: Path, force: bool = False, trust_code: bool = False
) -> Exported:
    """Write the weights of a trial of a run to `to`, checked against the model.

    Raises:
        UserError: no such run or trial, no weights, a task that cannot, `to` is there and not to be overwritten, or the
            program would say something else than the model.
    """
    if to.exists() and not force:
        raise UserError(f"{to} is there already; --force overwrites it")
    trained = _trained(name, trial, out=out, trust_code=trust_code)
    try:
        return trained.config.task.program(trained.weights, to)
    except (ValueError, NotImplementedError) as mistake:
        raise UserError(f"no program for {trained.weights}: {mistake}") from mistake


def described(exported: Exported, to: Path) -> str:
    """What was written, in lines."""
    shapes = ", ".join(f"{name} {list(shape)}" if shape else name for name, shape in exported.outputs.items())
    return "\n".join(
        [
            f"written: {to}; load it with torch.export.load, which trusts the file: never one from a stranger",
            *(f"  takes {name}: {meaning}" for name, meaning in exported.inputs.items()),
            f"  says of each recording: {shapes}",
            f"  differs from the model by {exported.difference:.1e} of the spread, {exported.tolerance:g} is allowed",
        ]
    )


def _trained(name: str, trial: str, *, out: Path, trust_code: bool) -> Trained:
    if trial == "best":
        return find_trained(name, out, trust_code=trust_code)
    run = RunFolder(one_search(find_run(name, out)))
    folder = run.trial(number_of(run, trial))
    weights = newest_weights(folder)
    if weights is None:
        raise UserError(f"trial {trial} of run {run.name} has left no weights; see: abr-tune trials {run.typed}")
    return Trained(weights, load_config(folder / CONFIG, trust_code=trust_code))
