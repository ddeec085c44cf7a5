"""Checkpoints that are damaged on the disk, or being written when their process is killed."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, Final

from abr_tune.plan import yaml
from abr_tune.search.archive import read_records
from abr_tune.trial import read_history
from benchmarks.battery.lives import left_running
from benchmarks.battery.row import Row
from benchmarks.battery.struck import INLINE, ON_RAY, Quarry, Struck
from core.report import EpochReport

EPOCHS: Final = 4
KILLS: Final = 40
SPACE: Final[dict[str, Any]] = {
    "name": "walk",
    "task": "abr",
    "data": {"source": "simulated", "train": 100, "val": 60, "test": 60, "seed": 7},
    "train": {"epochs": EPOCHS, "model.size": "tiny"},
    "search": {"optimizer.lr": {"log": [1e-3, 1e-2]}},
    "start_from": [{"name": "sound"}],
    "objective": {"maximize": "val/class/auroc_macro"},
    "health": {"class_collapse": "off", "regression_collapse": "off"},
    "pruner": "none",
    "sampler": "random",
    "budget": {"trials": 2},
    "confirm": {"top": 0},
}
"""Recordings so few that the scores mean nothing: only that they are the same."""
NAMES: Final = ("state.json", "model.safetensors", "optimizer.safetensors")


def damaged_checkpoints(folder: Path, quarry: Callable[..., Quarry]) -> Iterator[Row]:
    """Every way to damage the newest checkpoint of a training, and the same in a whole run."""
    yield _each(folder / "one")
    yield killed(folder / "kills", kills=KILLS)
    for name, words, both in (("inline", INLINE, False), ("under Ray, both of them", ON_RAY, True)):
        known = quarry(folder / f"q{both:d}", SPACE, words)
        yield _in_a_run(known.run(folder / f"r{both:d}", *words), name, both=both)


def _each(folder: Path) -> Row:
    """The training itself: what it yields after each damage, and its last weights bit for bit."""
    data = _data()
    whole, last = _trained(folder / "whole", data)
    _trained(folder / "half", data, EPOCHS - 1)
    same = 0
    for number, damage in enumerate(DAMAGES):
        place = folder / str(number)
        shutil.copytree(folder / "half", place)
        damage(place / f"epoch-{EPOCHS - 1:06d}")
        reports, weights = _trained(place, data)
        same += reports == whole[EPOCHS - len(reports) :] and reports[0].epoch < EPOCHS - 1 and weights == last
    return Row(
        fault="a damaged checkpoint: bits, cuts, empty, missing, a folder, another epoch's, another format, both",
        times=len(DAMAGES),
        promised="the one before, or the start; ends bit for bit as undisturbed",
        happened=f"{same} of {len(DAMAGES)} end with the same reports and weights",
        holds=same == len(DAMAGES),
    )


def _trained(folder: Path, data: Any, reports: int | None = None) -> tuple[list[EpochReport], bytes | None]:
    """What a training says from here on, or its first reports, without their seconds; and its last weights."""
    from core.training.loop import train

    said = [replace(each, seconds=0.0) for each in islice(train(_run(data), folder), reports)]
    file = folder / f"epoch-{EPOCHS:06d}" / "model.safetensors"
    return said, file.read_bytes() if file.exists() else None


def _data() -> Any:
    from core.tasks.abr import AbrTask
    from core.tasks.abr_options import SimulatedData

    return AbrTask().load(SimulatedData(train=60, val=40, test=40, seed=7), folder=Path())


def _run(data: Any) -> Any:
    import torch

    from core.tasks.abr_options import AbrOptions
    from core.tasks.abr_run import build_run

    torch.set_num_threads(1)
    return build_run(AbrOptions.model_validate({"epochs": EPOCHS, "model": {"size": "tiny"}}), data, seed=1)


def killed(folder: Path, *, kills: int) -> Row:
    """Processes that do nothing but write checkpoints, each killed at some moment of it."""
    context, chance = multiprocessing.get_context("fork"), random.Random(5)
    run = _run(_data())
    struck = unreadable = lost = leftovers = 0
    for number in range(kills):
        place = folder / str(number)
        place.mkdir(parents=True)
        said, saying = context.Pipe(duplex=False)
        writer = context.Process(target=_write_on, args=(place, run, saying))
        writer.start()
        saying.close()
        acknowledged = said.recv()
        time.sleep(chance.uniform(0, 0.1))
        os.kill(writer.pid or 0, signal.SIGKILL)
        writer.join()
        struck += writer.exitcode == -signal.SIGKILL
        while said.poll():
            try:
                acknowledged = said.recv()
            except EOFError:
                break
        found = _loaded(place, run)
        unreadable += found is None
        lost += found is not None and found < acknowledged
        leftovers += any(place.glob(".new-*"))
    return Row(
        fault="kill -9 while a checkpoint is written",
        times=struck,
        promised="always readable, none lost that was said to be written, nothing left half written",
        happened=f"{unreadable} unreadable, {lost} lost, {leftovers} half written ones left",
        holds=not (unreadable or lost or leftovers),
    )


def _write_on(folder: Path, run: Any, saying: Any) -> None:
    from core.training.checkpoint import Saved, save_checkpoint

    for epoch in range(1, 10**6):
        save_checkpoint(folder, run, Saved(EpochReport(epoch=epoch, phase="all"), {}), {})
        saying.send(epoch)


def _loaded(folder: Path, run: Any) -> int | None:
    from core.training.checkpoint import load_checkpoint

    saved = load_checkpoint(folder, run)
    return None if saved is None else saved.report.epoch


def _in_a_run(struck: Struck, name: str, *, both: bool) -> Row:
    """Killed in its second trial, whose checkpoints are then damaged: what is logged, heard, and kept."""
    checkpoints = struck.run / "trials/1/checkpoint"
    struck.lives.die(struck.lives.seen("trials/1/checkpoint/epoch-000002"), group=True)
    # A worker of Ray's outlives its driver for a moment, and writes on.
    left_running(struck.lives)
    newest = sorted(path for path in checkpoints.glob("epoch-*"))
    for path in newest if both else newest[-1:]:
        _flipped("model.safetensors")(path)
    ending = struck.live()
    told = "begins again" if both else "trying the one before"
    heard = told in ending.said and "is damaged" in ending.said
    logged = told in (struck.run / "run.log").read_text(encoding="utf-8")
    epochs = [json.loads(line)["epoch"] for line in (struck.run / "trials/1/history.jsonl").read_text().splitlines()]
    once = epochs == list(range(1, EPOCHS + 1))
    same = _timeless(struck.run) == _timeless(struck.whole.run)
    struck.lives.left_lying()
    return Row(
        fault=f"a run whose checkpoints are damaged, {name}",
        times=int(bool(newest)),
        promised="said in the log and to the person, no epoch twice, as in an uninterrupted run",
        happened=f"logged: {logged}, heard: {heard}, epochs of the trial {epochs}, trials and best the same: {same}",
        holds=ending.code == 0 and logged and heard and once and same,
    )


def _timeless(run: Path) -> list[Any]:
    """What trials came to, epoch by epoch, and what the best claims, but not how long it took."""
    histories = [read_history(path) for path in sorted(run.glob("trials/*/history.jsonl"))]
    reports = [[replace(each, seconds=0.0) for each in history] for history in histories]
    records = [replace(each, seconds=0.0) for each in read_records(run)]
    return [reports, records, yaml.read(run / "best.yaml").data["claims"]]


def _flipped(name: str, place: float = 0.5) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        content = bytearray((folder / name).read_bytes())
        content[min(len(content) - 1, int(len(content) * place))] ^= 1
        (folder / name).write_bytes(bytes(content))

    return damage


def _changed(name: str, change: Callable[[Path], object]) -> Callable[[Path], None]:
    return lambda folder: change(folder / name) and None


def _a_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def _a_file(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_bytes(b"no folder")


def _of_another_epoch(folder: Path) -> None:
    shutil.copytree(folder.with_name(f"epoch-{EPOCHS - 2:06d}"), folder, dirs_exist_ok=True)


def _of_another_format(folder: Path) -> None:
    state = json.loads((folder / "state.json").read_text())
    (folder / "state.json").write_text(json.dumps({**state, "format": 99}))


def _both(folder: Path) -> None:
    for path in folder.parent.glob("epoch-*"):
        (path / "state.json").write_bytes(b"")


DAMAGES: Final[tuple[Callable[[Path], object], ...]] = (
    *(_flipped(name, place) for name in NAMES for place in (0.0, 0.5, 1.0)),
    *(_changed(name, lambda file: os.truncate(file, file.stat().st_size // 2)) for name in NAMES),
    *(_changed(name, lambda file: os.truncate(file, 0)) for name in NAMES),
    *(_changed(name, Path.unlink) for name in NAMES),
    *(_changed(name, _a_folder) for name in NAMES),
    _of_another_epoch,
    _of_another_format,
    _a_file,
    shutil.rmtree,
    _both,
)
