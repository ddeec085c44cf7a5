"""The promises of "The ABR model and its training, complete", each as a check that measures it.

How long each takes on two quiet cores: unmasking 4 minutes, recovery up to 45, targets an hour and a half after it
(`small` at length, and the ideal reader), broken-settings 8, healthy 12, generated 6, denoised 3, throughput 6,
watching 4, weights-out 3, the others under one.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, Final

from benchmarks import train_step
from benchmarks.checks import ROOT, Check, Measured, abr_tune
from benchmarks.healthy_runs import PARTS, Outcome, configurations, counted, found_healthy

MINUTES: Final = 60.0
HEALTHY: Final = 50
LONGEST: Final = 45 * MINUTES
MOST_OUTSIDE: Final = 0.10
"""Share of training time that may be none of forward, backward and step."""
PARTS_OF_METHODS: Final[Mapping[str, Sequence[str]]] = {
    "S4D": ("core/models/test_s4d.py",),
    "U-Net": ("core/models/test_unet.py",),
    "cross-attention": ("core/models/test_attention.py",),
    "attention skip": ("core/models/test_skips.py",),
    "FiLM": ("core/models/test_encoder.py",),
    "multi-scale": ("core/models/test_multiscale.py",),
    "task extractors, cross-task attention": ("core/models/test_extractors.py",),
    "peak head, threshold head, class head": ("core/models/test_heads.py", "core/losses/test_likelihood.py"),
    "diffusion": ("core/test_diffusion.py", "core/models/test_denoiser.py"),
    "joint generation": ("core/models/test_joint.py", "core/test_generation.py"),
    "losses, balance, weighting": ("core/losses", "core/data/test_balancing.py", "core/data/test_augment.py"),
    "training mechanics": ("core/training",),
    "metric traps": ("core/test_metrics.py", "core/test_calibration.py"),
    "health rules": ("core/test_health.py", "core/test_health_watching.py"),
}
"""Part of methods.md -> where its unmasking tests are, under `tests/`."""


@cache
def workspace() -> Path:
    """A folder for this call's runs."""
    return Path(tempfile.mkdtemp(prefix="accept-model-"))


def unmasking() -> Measured:
    """Every part's tests pass, none is left out; how each was seen to fail stands in the issue's closing note."""
    missing = [name for names in PARTS_OF_METHODS.values() for name in names if not (ROOT / "tests" / name).exists()]
    if missing:
        return Measured(False, f"there is no tests/{', tests/'.join(missing)}")
    lines, holds = [], True
    for part, names in PARTS_OF_METHODS.items():
        done = _pytest(*(f"tests/{name}" for name in names))
        closing = (done.stdout.strip().splitlines() or ["nothing was printed"])[-1]
        holds = holds and done.returncode == 0 and "passed" in closing
        lines.append(f"{part}: {closing}")
    return Measured(holds, "\n".join(lines))


@cache
def recovered() -> tuple[Path, subprocess.CompletedProcess[str], float]:
    """The three stages, run once: their folder, what the command said, and its seconds."""
    began = time.monotonic()
    space, out = str(ROOT / "search_spaces" / "recovery.yaml"), str(workspace() / "results")
    done = abr_tune("run", space, "--out", out, cwd=workspace(), timeout=90 * MINUTES)
    return workspace() / "results" / "recovery", done, time.monotonic() - began


def recovery() -> Measured:
    """`abr-tune run search_spaces/recovery.yaml`: gates 1, 2 and 3 pass, in at most 45 minutes."""
    folder, done, seconds = recovered()
    lines, verdicts = [f"exit {done.returncode}, {seconds / MINUTES:.1f} of 45 minutes"], []
    for stage in ("phase1", "phase2", "phase3"):
        file = folder / stage / "summary.json"
        if not file.is_file():
            lines.append(f"{stage}: did not come")
            continue
        found: Mapping[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        verdicts.append(found["gate"]["verdict"])
        criteria = "; ".join(
            f"{each['metric']} {_number(each['value'])} {each['go']}: {each['result']}"
            for each in found["gate"]["criteria"]
        )
        lines.append(f"{stage}: {verdicts[-1]} in {found['seconds']['total'] / MINUTES:.1f} minutes; {criteria}")
    if done.returncode:
        lines.append(done.stderr.strip()[-800:])
    return Measured(verdicts == ["go"] * 3 and done.returncode == 0 and seconds <= LONGEST, "\n".join(lines))


def targets() -> Measured:
    """The documents' targets 43 and 44 beside ours, `small` at length, trivial scores, tree and ceilings."""
    folder, done, _ = recovered()
    if done.returncode:
        return Measured(False, f"recovery ended with {done.returncode}: there is nothing to compare")
    began = time.monotonic()
    words = ("train", str(ROOT / "benchmarks" / "small.yaml"), "--out", str(workspace() / "results"))
    trained = abr_tune(*words, cwd=workspace(), timeout=180 * MINUTES)
    minutes = (time.monotonic() - began) / MINUTES
    if trained.returncode:
        return Measured(False, f"training at length ended with {trained.returncode}: {trained.stderr.strip()[-500:]}")
    [at_length] = (workspace() / "results" / "trained").glob("small-*")
    ideal = workspace() / "ideal-reader.npz"
    importlib.import_module("benchmarks.ideal_reader").main(["--to", str(ideal)])
    measured: Measured = importlib.import_module("benchmarks.targets").check(folder, at_length, ideal)
    return replace(measured, text=f"{measured.text}\n`small` at length: {minutes:.0f} minutes on one core of the CPU")


def broken_settings() -> Measured:
    """The documents' broken settings fail again, and the rules name each in time."""
    measured: Measured = importlib.import_module("benchmarks.broken_settings").check()
    return measured


def healthy() -> Measured:
    """Of 50 distinct healthy configurations run in full, with every kind of new part among them, none is stopped."""
    outcomes = found_healthy(HEALTHY, PARTS)
    distinct = {json.dumps(values, sort_keys=True) for _, values in configurations(PARTS)}
    healthy, stopped, others, stopped_others = counted(outcomes)
    kinds = [_kind(place, outcomes) for place in range(len(PARTS))]
    without = [kind for kind in kinds if " 0 healthy" in kind]
    told = [f"seed {each.seed}: {each.rule}" for each in outcomes if each.healthy and each.rule]
    return Measured(
        healthy == HEALTHY and not stopped and not without and len(distinct) >= len(outcomes),
        f"{stopped} of {healthy} healthy runs stopped; of the {others} others drawn on the way {stopped_others} were\n"
        + "\n".join([*told, *kinds]),
    )


def _kind(place: int, outcomes: Sequence[Outcome]) -> str:
    own = [outcome for outcome in outcomes if outcome.seed % len(PARTS) == place]
    named = ", ".join(f"{path} {value}" for path, value in PARTS[place].items()) or "as the space has it"
    return f"{named}: {sum(outcome.healthy for outcome in own)} healthy of {len(own)}"


def generated() -> Measured:
    """Generated recordings have the simulator's statistics."""
    measured: Measured = importlib.import_module("benchmarks.generation").generated_like_simulated()
    return measured


def deterministic_sampling() -> Measured:
    """DDIM with eta 0 draws the same from the same noise."""
    measured: Measured = importlib.import_module("benchmarks.generation").generation_is_deterministic()
    return measured


def denoised() -> Measured:
    """The denoiser on the residual noise of real recordings."""
    measured: Measured = importlib.import_module("benchmarks.denoise").denoises_real_noise()
    return measured


def throughput() -> Measured:
    """Recordings per second on one core, at most a tenth of the time outside forward, backward and step."""
    speeds = [train_step.measure(size, backbone) for size in train_step.SIZES for backbone in train_step.BACKBONES]
    ours, first = train_step.against_first()
    beside = f"tiny encoder, plain: {ours:.0f} recordings/s, {ours / first:.2f} times the first version ({first:.0f})"
    return Measured(all(speed.outside <= MOST_OUTSIDE for speed in speeds), "\n".join([*map(str, speeds), beside]))


def watching() -> Measured:
    """Watching costs at most 5 % of the training time."""
    measured: Measured = importlib.import_module("benchmarks.watching").check()
    return measured


def resumed() -> Measured:
    """Interrupted after every epoch, once in each phase, a training gives the weights of the uninterrupted one."""
    import torch

    torch.set_num_threads(1)
    whole, reports = _trained(workspace() / "whole", stops=())
    lines, same = [], True
    for epoch in range(1, len(reports)):
        again, others = _trained(workspace() / f"stopped-{epoch}", stops=(epoch,))
        equal = again == whole and others == reports
        same = same and equal
        lines.append(f"after epoch {epoch} ({reports[epoch - 1].phase}): {'equal' if equal else 'NOT EQUAL'}")
    phases = {report.phase for report in reports}
    return Measured(
        same and len(phases) >= 4, f"{len(reports)} epochs, phases {', '.join(sorted(phases))}\n" + "\n".join(lines)
    )


EVERYTHING: Final[Mapping[str, Any]] = {
    "epochs": 6,
    "batch_size": 32,
    "device": "cpu",
    "model": {"dropout": 0.3, "extractors": "cross_task", "diffusion": {"enabled": True}},
    "phases": {"boundaries": (0.2, 0.4, 0.7)},
    "optimizer": {"accumulate": 2, "lr": 3e-3},
    "balance": {"sampling": "balanced", "scheme": "dynamic"},
    "loss": {"weighting": {"method": "uncertainty", "normalise": "first"}},
    "augment": {"mixup": {"probability": 0.5, "skip_rare": False}, "noise": {"level": 0.3}},
    "ema": {},
}
"""All that has a state: phases, accumulation, draws, weights that are learnt, averages, augmentation, diffusion."""


def _trained(folder: Path, *, stops: Sequence[int]) -> tuple[Mapping[str, bytes], list[Any]]:
    """The bytes of the last checkpoint's tensors, and the reports without their seconds."""
    from core.tasks.abr import AbrTask
    from core.tasks.abr_options import AbrOptions, SimulatedData

    task = AbrTask()
    data = task.load(SimulatedData(train=200, val=120, test=100), folder=Path())
    options, reports = AbrOptions.model_validate(EVERYTHING), {}
    for until in (*stops, options.epochs):
        training = task.train(options, seed=5, checkpoint=folder, data=data)
        for report in training:
            reports[report.epoch] = replace(report, seconds=0.0)
            if report.epoch == until:
                break
        training.close()  # type: ignore[attr-defined]
    last = max(folder.glob("epoch-*"))
    return {file.name: file.read_bytes() for file in last.glob("*.safetensors")}, list(reports.values())


SPACE: Final = """\
name: workers
task: abr
data: {source: simulated, train: 200, val: 120, test: 120, seed: 7}
train: {epochs: 4}
search:
  optimizer.lr:        {log: [1e-3, 1e-2]}
  loss.weights.class:  {log: [1, 30]}
pruner: none
sampler: random
budget: {trials: 6}
confirm: {top: 0}
"""


def workers() -> Measured:
    """The same search with one worker, with two, and without Ray: each trial has the same parameters and scores."""
    found = {}
    for name, options in {
        "one": ("--jobs", "1"),
        "two": ("--jobs", "2"),
        "inline": ("--executor", "inline"),
    }.items():
        place = workspace() / name
        place.mkdir()
        (place / "workers.yaml").write_text(SPACE, encoding="utf-8")
        done = abr_tune("run", "workers.yaml", *options, cwd=place)
        if done.returncode:
            return Measured(False, f"{name}: exit {done.returncode}: {done.stderr[-500:]}")
        found[name] = {folder.name: _told(folder) for folder in (place / "results" / "workers" / "trials").iterdir()}
    same = found["one"] == found["two"] == found["inline"]
    trials = len(found["one"])
    return Measured(
        same and trials == 6, f"{trials} trials of 4 epochs, {'equal' if same else 'NOT EQUAL'} to the last digit"
    )


def _told(folder: Path) -> list[Any]:
    """Configuration, and epoch by epoch what was reported, but for the clock."""
    reports = [json.loads(line) for line in (folder / "history.jsonl").read_text(encoding="utf-8").splitlines()]
    config = json.loads((folder / "config.yaml").read_text(encoding="utf-8"))
    return [
        config["train"],
        *({name: value for name, value in report.items() if name != "seconds"} for report in reports),
    ]


def weights_out() -> Measured:
    """A program of every backbone says what the model says; `predict` needs the safetensors alone."""
    from core.tasks.abr import AbrTask
    from core.tasks.abr_options import AbrOptions, SimulatedData

    task, lines, holds = AbrTask(), [], True
    data = task.load(SimulatedData(train=120, val=100, test=100), folder=Path())
    for backbone in train_step.BACKBONES:
        folder = workspace() / f"weights-{backbone}"
        options = AbrOptions.model_validate({"epochs": 1, "device": "cpu", "model": {"backbone": backbone}})
        for _ in task.train(options, seed=1, checkpoint=folder, data=data):
            pass
        weights = next(folder.rglob("model.safetensors"))
        exported = task.program(weights, folder / "model.pt2")
        alone = folder / "alone"
        alone.mkdir()
        (alone / weights.name).write_bytes(weights.read_bytes())
        rows = len(task.predict(alone / weights.name, data.folds[0].val))
        holds = holds and exported.difference <= exported.tolerance and rows == len(data.folds[0].val)
        lines.append(
            f"{backbone}: differs by {exported.difference:.1e} of the spread, {exported.tolerance:g} allowed; "
            f"{rows} predicted from the weights alone"
        )
    return Measured(holds, "\n".join(lines))


def device() -> Measured:
    """What can be shown of devices here: nothing of a step stays behind, bfloat16 in the trunk alone, determinism."""
    done = _pytest("tests/core/training/test_device.py", "tests/plan/test_device.py", "-rs")
    lines = done.stdout.strip().splitlines() or ["nothing was printed"]
    skipped = [line for line in lines if line.startswith("SKIPPED")]
    return Measured(done.returncode == 0, "\n".join([lines[-1], *skipped]))


def _pytest(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=20 * MINUTES, check=False)


def _number(value: float | None) -> str:
    return "absent" if value is None else f"{value:.3f}"


CHECKS: Final[Mapping[str, Check]] = {
    "unmasking": unmasking,
    "recovery": recovery,
    "targets": targets,
    "broken-settings": broken_settings,
    "healthy": healthy,
    "generated": generated,
    "ddim": deterministic_sampling,
    "denoised": denoised,
    "throughput": throughput,
    "watching": watching,
    "resumed": resumed,
    "workers": workers,
    "weights-out": weights_out,
    "device": device,
}
