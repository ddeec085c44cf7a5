"""The settings under which the documents' models failed: each fails again, and a health rule says which way.

    python -m benchmarks.broken_settings [--only NAME ...]

Trained on simulated recordings from a fixed seed. A setting is reproduced when the failure is there in the scores, and
named when the rule it should meet speaks of it by the promised epoch; `sound` is the same training without the fault,
which must not be named. Nothing is stopped here: what a rule would have stopped is said.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from benchmarks.checks import Measured
from core.health import HealthOptions, Rule, Verdict, judge
from core.report import EpochReport

F1, SHARE = "val/class/f1_macro", "val/class/largest_share"
SPREAD, R2 = "val/threshold/spread_ratio", "val/threshold/r2"
LATENCY_R2 = "val/peak/latency_r2"


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How long the trainings are."""

    epochs: int
    recordings: int
    batch: int


FULL: Final = Size(epochs=8, recordings=1500, batch=64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """What a rule says of a failure, and by when."""

    rule: Rule
    epoch: int
    """By which it is named, as a warning at least; warm-up is epoch 1."""
    term: str | None = None
    """The term it must name, where the rule names any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A configuration that fails in a known way."""

    about: str
    """Where it stands in the documents, and what came of it there."""
    train: Mapping[str, Any]
    """Over the defaults."""
    failed: Callable[[EpochReport, EpochReport, Mapping[str, float]], bool]
    """Whether the last report shows the failure, beside the sound training's and the trivial predictors' scores."""
    promises: tuple[Promise, ...]
    shown: tuple[str, ...]
    """Metrics that tell of it."""


def _majority(last: EpochReport, sound: EpochReport, baselines: Mapping[str, float]) -> bool:
    return last.metrics[SHARE] == 1.0 and abs(last.metrics[F1] - baselines[F1]) < 1e-6


def _constant_threshold(last: EpochReport, sound: EpochReport, baselines: Mapping[str, float]) -> bool:
    return last.metrics[SPREAD] < 0.01 and last.metrics[R2] < 0


def _short_of_reach(last: EpochReport, sound: EpochReport, baselines: Mapping[str, float]) -> bool:
    """What the sound training explains of the latencies and this one does not."""
    return last.metrics[LATENCY_R2] < sound.metrics[LATENCY_R2] - 0.05


SETTINGS: Final[Mapping[str, Setting]] = {
    "majority class": Setting(
        about="document 000: one class for all recordings, because one term's gradient drowns the others",
        train={"loss": {"weights": {"signal": 1e4, "class": 0.01, "threshold": 0.01}}, "balance": {"scheme": "none"}},
        failed=_majority,
        promises=(Promise(rule="class_collapse", epoch=2), Promise(rule="task_dominance", epoch=4, term="signal")),
        shown=(F1, SHARE),
    ),
    "constant threshold": Setting(
        about="document 000: all thresholds 17.60 dB, R² below 0; by a rate far too high, the classes as well",
        train={"optimizer": {"lr": 0.3}},
        failed=_constant_threshold,
        promises=(
            Promise(rule="regression_collapse", epoch=3, term="threshold"),
            Promise(rule="class_collapse", epoch=3),
        ),
        shown=(SPREAD, R2),
    ),
    "unreachable peak range": Setting(
        about="document 001: latencies bounded to 1-8 ms, amplitudes to half a microvolt",
        train={"model": {"bounds": {"latency_ms": [1.0, 8.0], "amplitude_uv": [-0.5, 0.5]}}},
        failed=_short_of_reach,
        promises=(Promise(rule="out_of_reach", epoch=1, term="peak_latency"),),
        shown=(LATENCY_R2,),
    ),
}


@dataclass(frozen=True, slots=True)
class Course:
    """A training in full, with what the rules said of each epoch."""

    reports: tuple[EpochReport, ...]
    verdicts: tuple[Verdict, ...]
    baselines: Mapping[str, float]

    def first(self, promise: Promise, level: str | None = None) -> int | None:
        """The epoch at which a rule first spoke, of the term if one is promised; None if it never did."""
        said = (
            verdict.epoch
            for verdict in self.verdicts
            if verdict.rule == promise.rule
            and promise.term in {None, verdict.evidence.get("term")}
            and level in {None, verdict.level}
        )
        return min(said, default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One setting: whether it failed as it did, and whether it was named in time."""

    name: str
    failed: bool
    named: tuple[tuple[Promise, int | None, int | None], ...]
    """Promise, the epoch at which its rule first spoke, and at which it would have stopped the run."""
    shown: Mapping[str, tuple[float, float]]
    """Metric -> its value at the end, and that of the sound training."""

    @property
    def holds(self) -> bool:
        """Reproduced, and every promise kept."""
        return self.failed and all(first is not None and first <= each.epoch for each, first, _ in self.named)

    def __str__(self) -> str:
        scores = "; ".join(
            f"{name.removeprefix('val/')} {value:.3f}, sound {sound:.3f}" for name, (value, sound) in self.shown.items()
        )
        rules = "; ".join(
            f"{each.rule}{f' of {each.term}' if each.term else ''} "
            + (f"at epoch {first} (promised {each.epoch})" if first else f"never (promised {each.epoch})")
            + (f", stops at {stop}" if stop else "")
            for each, first, stop in self.named
        )
        return f"{self.name}: {'reproduced' if self.failed else 'NOT reproduced'} ({scores}); named by {rules}"


@lru_cache
def course(name: str | None = None, *, size: Size = FULL) -> Course:
    """Train a setting, or what is sound, in full and judge every epoch by the default rules."""
    import torch

    from core.tasks.abr import AbrTask
    from core.tasks.abr_options import AbrOptions, SimulatedData

    torch.set_num_threads(1)
    task, train = AbrTask(), {} if name is None else dict(SETTINGS[name].train)
    options = AbrOptions.model_validate({"epochs": size.epochs, "batch_size": size.batch, "device": "cpu"} | train)
    reports: list[EpochReport] = []
    verdicts: list[Verdict] = []
    with tempfile.TemporaryDirectory() as folder:
        data = task.load(SimulatedData(train=size.recordings, val=400, test=40), folder=Path(folder))
        baselines = task.baselines(data)
        for report in task.train(options, seed=1, checkpoint=Path(folder) / "checkpoint", data=data):
            reports.append(report)
            verdicts += judge(reports, HealthOptions(), baselines, size.epochs)
    return Course(tuple(each for each in reports if each.complete), tuple(verdicts), baselines)


def reproduce(name: str, *, size: Size = FULL) -> Row:
    """Train one of the settings, and what is sound beside it."""
    setting = SETTINGS[name]
    found, sound = (course(each, size=size) for each in (name, None))
    last = found.reports[-1]
    return Row(
        name=name,
        failed=setting.failed(last, sound.reports[-1], found.baselines),
        named=tuple((each, found.first(each), found.first(each, "stop")) for each in setting.promises),
        shown={metric: (last.metrics[metric], sound.reports[-1].metrics[metric]) for metric in setting.shown},
    )


def wrongly_named(*, size: Size = FULL) -> list[str]:
    """What is said of the sound training that should not be: failures, stops, and the rules above at its end.

    `class_collapse` also warns of a rare class that is not predicted yet, which is no failure.
    """
    found = course(size=size)
    rules = {promise.rule for setting in SETTINGS.values() for promise in setting.promises} - {"class_collapse"}
    last = found.reports[-1]
    failed = [name for name, setting in SETTINGS.items() if setting.failed(last, last, found.baselines)]
    return failed + [
        f"{verdict.rule} at epoch {verdict.epoch}: {verdict.why}"
        for verdict in found.verdicts
        if verdict.level == "stop" or (verdict.epoch == last.epoch and verdict.rule in rules)
    ]


def check(names: Sequence[str] | None = None) -> Measured:
    """For the list of acceptance: every setting fails as it did and is named in time; a sound one is not."""
    rows = [reproduce(name) for name in names or SETTINGS]
    wrong = wrongly_named()
    lines = [*map(str, rows), "sound: " + ("; ".join(wrong) if wrong else "not named, not stopped")]
    return Measured(all(row.holds for row in rows) and not wrong, "\n".join(lines))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=SETTINGS)
    measured = check(parser.parse_args().only)
    print(measured.text)
    sys.exit(0 if measured.holds else 1)
