"""How fast the ABR model trains on one core, and where the time goes.

    python -m benchmarks.train_step [--sizes tiny small base] [--backbones encoder unet] [--first]

For each size and backbone, epochs are trained as a search trains them: phases, watching, validation, metrics,
checkpoint. Printed are recordings trained on per second, and the share of the time that is none of forward, backward
and step (the optimiser's, with the clipping of its gradients). The forward passes of validation are listed apart; looks
that watch a training are outside. Counted is the processor's time of this process, which waits for nobody. `--first`
also trains, in turns and without clocks, this loop and its first version (the commit that introduced it, out of the
history) on as many recordings, each with the network of its time.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks.checks import ROOT

FIRST: Final = "d1fbea8"
"""The commit with the first training loop; its steps were plain: no look at signals, parts, gates or rates."""
RECORDINGS: Final = {"tiny": (1500, 2000), "small": (1024, 1024), "base": (768, 384)}
"""To train on and to validate on: tiny as `search_spaces/phase1.yaml` has it, fewer where a step takes longer."""
PAIRS: Final = 5
EPOCHS: Final = 3
"""The first one warms up and is not counted."""
SIZES: Final = tuple(RECORDINGS)
BACKBONES: Final = ("encoder", "unet")


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """What training took, in seconds."""

    size: str
    backbone: str
    parameters: int
    recordings: int
    """Trained on, all epochs together."""
    total: float
    parts: dict[str, float]
    """forward, backward, step, and validation's forward passes."""
    watching: float
    """Looks at steps, which are outside too."""

    @property
    def per_second(self) -> float:
        """Recordings trained on."""
        return self.recordings / self.total

    @property
    def outside(self) -> float:
        """Share of the time that is none of the parts."""
        return 1 - sum(self.parts.values()) / self.total

    def __str__(self) -> str:
        shares = ", ".join(f"{name} {seconds / self.total:.0%}" for name, seconds in self.parts.items())
        return (
            f"{self.size:5s} {self.backbone:7s} {self.parameters:9,d} weights  {self.per_second:7.1f} recordings/s  "
            f"{shares}, outside {self.outside:.1%} (watching {self.watching / self.total:.1%})"
        )


def measure(size: str, backbone: str, **changed: Any) -> Speed:
    """Train epochs with the clock on what they consist of."""
    import torch

    from core.tasks.abr import AbrTask
    from core.tasks.abr_options import AbrOptions, SimulatedData
    from core.tasks.abr_run import build_run
    from core.training.loop import train

    torch.set_num_threads(1)
    trained, held_out = RECORDINGS[size]
    data = AbrTask().load(SimulatedData(train=trained, val=held_out, test=100), folder=Path())
    model = {"size": size, "backbone": backbone}
    options = AbrOptions.model_validate({"epochs": EPOCHS, "device": "cpu", "model": model, **changed})
    run = build_run(options, data, seed=1)
    [learner] = run.learners
    with tempfile.TemporaryDirectory() as folder, watched(learner) as spent:
        reports = train(run, Path(folder))
        next(reports)
        spent.clear()
        began = time.process_time()
        counted = sum(1 for _ in reports)
        total = time.process_time() - began
    return Speed(
        size=size,
        backbone=backbone,
        parameters=sum(each.numel() for each in learner.network.parameters()),
        recordings=counted * len(learner.examples),
        total=total,
        parts={name: spent[name] for name in ("forward", "backward", "step", "validation")},
        watching=spent["watching"],
    )


@contextmanager
def watched(learner: Any) -> Iterator[dict[str, float]]:
    """Seconds by name, of what the learner calls inside."""
    import torch

    spent: dict[str, float] = defaultdict(float)
    depth = [0]

    def clocked(call: Callable[..., Any], name: Callable[[], str]) -> Callable[..., Any]:
        def run(*given: Any, **named: Any) -> Any:
            began = time.process_time()
            depth[0] += 1
            try:
                return call(*given, **named)
            finally:
                depth[0] -= 1
                if not depth[0]:
                    spent[name()] += time.process_time() - began

        return run

    from core.training import step, watch

    network, loss = learner.network, learner.loss
    patched: list[tuple[Any, str, Any]] = [
        (torch.Tensor, "backward", "backward"),
        (step, "get_total_norm", "step"),
        (step, "clip_grads_with_norm_", "step"),
        *((watch.Looker, name, "watching") for name in ("outputs", "values", "look")),
    ]
    network.forward = clocked(network.forward, lambda: "forward" if network.training else "validation")
    for name in ("denominators", "numerators", "values", "total"):
        setattr(loss, name, clocked(getattr(loss, name), lambda: "forward"))
    learner.optimizer.step = clocked(learner.optimizer.step, lambda: "step")
    before = [getattr(owner, name) for owner, name, _ in patched]
    for owner, name, part in patched:
        setattr(owner, name, clocked(getattr(owner, name), lambda part=part: part))
    try:
        yield spent
    finally:
        for (owner, name, _), call in zip(patched, before, strict=True):
            setattr(owner, name, call)


def against_first(size: str = "tiny", pairs: int = PAIRS) -> tuple[float, float]:
    """Recordings per second of the loop and of its first version, checked out of the history; medians, in turns.

    Neither has clocks inside. Raises ValueError where the history does not reach back.
    """
    with tempfile.TemporaryDirectory() as folder:
        archive = subprocess.run(["git", "-C", str(ROOT), "archive", FIRST, "core"], capture_output=True, check=False)
        if archive.returncode:
            raise ValueError(f"the history does not reach back to {FIRST}")
        subprocess.run(["tar", "x", "-C", folder], input=archive.stdout, check=True)
        speeds = [(_plain_speed(size, ROOT), _plain_speed(size, Path(folder))) for _ in range(pairs)]
    return median(ours for ours, _ in speeds), median(first for _, first in speeds)


def _plain_speed(size: str, folder: Path) -> float:
    trained, held_out = RECORDINGS[size]
    code = (
        "import sys, tempfile, time; from pathlib import Path; import torch; torch.set_num_threads(1)\n"
        "from core.tasks.abr import AbrTask; from core.tasks.abr_options import AbrOptions, SimulatedData\n"
        f"sizes = SimulatedData(train={trained}, val={held_out}, test=100)\n"
        "task = AbrTask(); data = task.load(sizes, folder=Path())\n"
        f"options = AbrOptions.model_validate({{'epochs': {EPOCHS}, 'model': {{'size': {size!r}}}}})\n"
        "with tempfile.TemporaryDirectory() as folder:\n"
        "    reports = task.train(options, seed=1, checkpoint=Path(folder), data=data); next(reports)\n"
        "    began = time.process_time(); counted = sum(1 for _ in reports)\n"
        f"    print(counted * {trained} / (time.process_time() - began))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ValueError(f"the loop in {folder} does not run here: {done.stderr.strip().splitlines()[-1]}")
    return float(done.stdout.split()[-1])


def main(given: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=SIZES)
    parser.add_argument("--backbones", nargs="+", choices=BACKBONES, default=BACKBONES)
    parser.add_argument("--first", action="store_true", help="also the first version of the loop, from the history")
    asked = parser.parse_args(given)
    for size in asked.sizes:
        for backbone in asked.backbones:
            print(measure(size, backbone), flush=True)
    if asked.first:
        ours, first = against_first()
        print(f"tiny: {ours:.1f} recordings/s, the first version of the loop ({FIRST}) {first:.1f}", flush=True)


if __name__ == "__main__":
    main()
