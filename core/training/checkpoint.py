"""Checkpoints that are whole or not there, and training that goes on from them bit for bit.

    folder/
      epoch-000003/
        model.safetensors       weights of every fold, and in its header what is needed to use them
        optimizer.safetensors   moments and step counts, under the parameters' names
        state.json              report, progress, loss history, and the SHA-256 of the other two and of itself
      epoch-000004/

A checkpoint is written under another name, flushed to disk and renamed; the last two are kept. What is damaged is
passed over for the one before, and where none is sound training begins again. Random numbers need no state: they are
functions of seed, fold and epoch (`core.training.seeds`).
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from core.report import EpochReport
from core.training.run import Learner, Progress, Run
from core.training.stopping import Standstill

log = logging.getLogger(__name__)

FORMAT: Final = 1
KEPT: Final = 2
MODEL: Final = "model.safetensors"
OPTIMIZER: Final = "optimizer.safetensors"
STATE: Final = "state.json"
ABOUT: Final = "about"
"""Key in the header of `model.safetensors` under which the JSON description of the weights stands."""
OWN: Final = "own"
"""Kind under which a network's own state stands beside its moments, where `model.safetensors` holds its average."""
NEW: Final = ".new-"
DAMAGE: Final = (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError)
"""What reading raises where files are missing, are none, or do not hold what was written."""


class OtherRun(ValueError):
    """The folder holds checkpoints of another configuration, seed or data set."""

    def __init__(self, folder: str, differing: tuple[str, ...]) -> None:
        super().__init__(folder, differing)

    def __str__(self) -> str:
        folder, differing = self.args
        return f"{folder} holds a checkpoint of another run: {', '.join(differing)} differ"


@dataclass(frozen=True, slots=True)
class Saved:
    """What a checkpoint holds besides tensors."""

    report: EpochReport
    losses: Mapping[str, Sequence[float]]
    """Term -> training loss of every epoch it was on."""
    reached: Mapping[str, int] = field(default_factory=dict)
    """Condition on a metric -> the epoch at whose end it was first met."""
    standstill: Standstill = field(default_factory=Standstill)
    """How early stopping stands."""
    scores: Sequence[float] = ()
    """The objective of the last epochs."""


def save_checkpoint(folder: Path, run: Run, saved: Saved, about: Mapping[str, Any]) -> None:
    """Write the state after `saved.report`; `about` goes into the header of the weights.

    Raises OSError when the disk refuses; older checkpoints are then untouched.
    """
    if folder.exists() and not folder.is_dir():
        _remove(folder)
    folder.mkdir(parents=True, exist_ok=True)
    _sweep(folder)
    files = {MODEL: save(_weights(run.learners), {ABOUT: json.dumps(about)}), OPTIMIZER: save(_moments(run.learners))}
    state: dict[str, Any] = {
        "format": FORMAT,
        "identity": run.identity,
        "report": saved.report.to_json(),
        "losses": {term: list(losses) for term, losses in saved.losses.items()},
        "reached": dict(saved.reached),
        "standstill": saved.standstill.to_json(),
        "scores": list(saved.scores),
        "learners": [asdict(learner.progress) for learner in run.learners],
        "learnt": [learner.loss.state() for learner in run.learners],
        "averaged": [0 if learner.ema is None else learner.ema.steps for learner in run.learners],
        "sha256": {name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
    }
    state["sha256"][STATE] = _own_sum(state)
    files[STATE] = json.dumps(state, allow_nan=False).encode()
    target = folder / _name(saved.report.epoch)
    new = folder / f"{NEW}{target.name}"
    new.mkdir()
    for name, content in files.items():
        _write(new / name, content)
    _flush_folder(new)
    _remove(target)
    new.rename(target)
    _flush_folder(folder)
    for old in _epochs(folder)[KEPT:]:
        _remove(old)


def load_checkpoint(folder: Path, run: Run) -> Saved | None:
    """Put the newest sound checkpoint into the run's learners; None when there is none.

    A damaged one is passed over with a warning in the log. Raises OtherRun when a sound one belongs to another run, and
    PermissionError where they may not be read, which is no damage.
    """
    if not folder.is_dir():
        return None
    _sweep(folder)
    found = _epochs(folder)
    for number, path in enumerate(found, 1):
        try:
            state, weights, moments = _read(path)
        except PermissionError:
            raise
        except DAMAGE as damage:
            then = "trying the one before" if number < len(found) else "none is left, so training begins again"
            log.warning("checkpoint %s is damaged (%s); %s", path, damage, then)
            continue
        _check_identity(folder, state["identity"], run.identity)
        averaged = state.get("averaged", [0] * len(run.learners))
        kept = zip(run.learners, state["learners"], state["learnt"], averaged, strict=True)
        for learner, progress, learnt, steps in kept:
            _restore(learner, weights, moments, Progress(**progress), steps)
            learner.loss.restore(learnt)
        standstill = Standstill(**state.get("standstill", {}))
        report, scores = EpochReport.from_json(state["report"]), state.get("scores", ())
        return Saved(report, state["losses"], state["reached"], standstill, scores)
    return None


def _name(epoch: int) -> str:
    return f"epoch-{epoch:06d}"


def _epochs(folder: Path) -> list[Path]:
    """Checkpoints, newest first."""
    # Not glob, which takes a folder that may not be read for an empty one.
    return sorted((path for path in folder.iterdir() if path.name.startswith("epoch-")), reverse=True)


def _remove(path: Path) -> None:
    """Take away what stands at `path`, be it a folder, a file or nothing."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _sweep(folder: Path) -> None:
    """Remove what a killed process left half written."""
    for leftover in folder.glob(f"{NEW}*"):
        _remove(leftover)


def _own_sum(state: Mapping[str, Any]) -> str:
    """SHA-256 of the state without this sum in it."""
    others = {name: sum_ for name, sum_ in state["sha256"].items() if name != STATE}
    return hashlib.sha256(json.dumps({**state, "sha256": others}, allow_nan=False).encode()).hexdigest()


def _weights(learners: Sequence[Learner]) -> dict[str, Tensor]:
    """What is used from then on: where the weights are averaged, their average."""
    return {
        f"fold{learner.fold}.{name}": tensor.detach().cpu().contiguous()
        for learner in learners
        for name, tensor in (learner.network.state_dict() if learner.ema is None else learner.ema.average).items()
    }


def _named(learner: Learner) -> Iterator[tuple[str, Tensor]]:
    for name, parameter in learner.network.named_parameters():
        yield f"fold{learner.fold}.{name}", parameter


def _moments(learners: Sequence[Learner]) -> dict[str, Tensor]:
    """What only training needs: the optimisers' moments and, where the weights are averaged, these themselves."""
    found = {
        f"{kind}/{name}": tensor.cpu().contiguous()
        for learner in learners
        for name, parameter in _named(learner)
        for kind, tensor in learner.optimizer.state.get(parameter, {}).items()
    }
    return found | {
        f"{OWN}/fold{learner.fold}.{name}": tensor.cpu().contiguous()
        for learner in learners
        for name, tensor in (learner.ema.state() if learner.ema is not None else {}).items()
    }


def _restore(
    learner: Learner,
    weights: Mapping[str, Tensor],
    moments: Mapping[str, Tensor],
    progress: Progress,
    averaged: int,
) -> None:
    used = _below(weights, f"fold{learner.fold}.")
    if learner.ema is None:
        learner.network.load_state_dict(used)
    else:
        learner.network.load_state_dict(_below(moments, f"{OWN}/fold{learner.fold}."))
        learner.ema.restore(used, averaged)
    by_name: dict[str, dict[str, Tensor]] = {}
    for key, tensor in moments.items():
        kind, _, name = key.partition("/")
        if kind != OWN:
            by_name.setdefault(name, {})[kind] = tensor
    learner.optimizer.state.clear()
    for name, parameter in _named(learner):
        if name in by_name:
            # What was saved on one kind of device goes on on another.
            learner.optimizer.state[parameter] = {
                kind: tensor.to(parameter.device) for kind, tensor in by_name[name].items()
            }
    for column, value in asdict(progress).items():
        setattr(learner.progress, column, value)


def _below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor], dict[str, Tensor]]:
    """State, weights and moments; raises one of `DAMAGE` unless they are what was written after this epoch."""
    state = _state((path / STATE).read_bytes())
    if path.name != _name(state["report"]["epoch"]):
        raise ValueError(f"its {STATE} is of epoch {state['report']['epoch']}")
    tensors = []
    for name in (MODEL, OPTIMIZER):
        content = (path / name).read_bytes()
        if hashlib.sha256(content).hexdigest() != state["sha256"][name]:
            raise ValueError(f"{name} is not what was written")
        tensors.append(load(content))
    return state, tensors[0], tensors[1]


def _state(content: bytes) -> dict[str, Any]:
    """The state in a file; one that an earlier version wrote, without a sum of its own, passes unchecked."""
    state: dict[str, Any] = json.loads(content)
    if state["format"] != FORMAT:
        raise ValueError(f"its format is {state['format']}, not {FORMAT}")
    own = _own_sum(state)
    if {*state["sha256"], STATE} != {MODEL, OPTIMIZER, STATE} or state["sha256"].get(STATE, own) != own:
        raise ValueError(f"{STATE} is not what was written")
    return state


def _check_identity(folder: Path, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    # Compared as JSON, which knows no tuples.
    expected = json.loads(json.dumps(wanted))
    differing = tuple(sorted(key for key in {*found, *expected} if found.get(key) != expected.get(key)))
    if differing:
        raise OtherRun(str(folder), differing)


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _flush_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
