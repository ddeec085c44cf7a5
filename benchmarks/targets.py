"""The documents' targets beside what a finished recovery run reached, and how far anything could.

    python -m benchmarks.targets results/recovery [--at-length results/trained/small-...] [--ideal ideal-reader.npz]

Everything is simulated. For each target: the confirmed validation mean of its stage; then, on the test patients, whom
nobody has seen, the last stage's network, its confirmed leaders together, a larger network trained at length (`abr-tune
train benchmarks/small.yaml`), the trivial predictor, gradient-boosted trees on the same inputs and recordings (with the
paired 95 % interval over patients of network minus tree), and the ceilings: trees given the true latents of 20,000
other patients, trees given the latents as well as the noise of each recording lets them be read, and for the class what
Bayes' rule makes of the recordings under the simulator's own law (`python -m benchmarks.ideal_reader`). The weights are
fixed when this begins: the test recordings decide nothing.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Final

import numpy as np
from numpy.typing import NDArray

from abr_tune.ensemble import members_of
from abr_tune.errors import UserError
from abr_tune.export import newest_weights
from abr_tune.plan.yaml import read
from abr_tune.runs import RunFolder
from benchmarks.checks import Measured
from benchmarks.ideal_reader import decided
from core.data import ceilings
from core.data.recordings import Fold, Recordings
from core.data.references import patient_bootstrap
from core.data.simulator import simulate_split
from core.metrics import Predictions, trivial_scores, weights_of
from core.metrics.resampled import SMALLER_IS_BETTER, Interval, metric_value, paired_interval
from core.metrics.signal import row_pearson, varies_in_time
from core.tasks.abr_data import AbrDataset, load_dataset
from core.tasks.abr_ensemble import Said
from core.tasks.abr_evaluation import held_out_predictions
from core.tasks.abr_options import SimulatedData
from core.tasks.abr_weights import load_model

ENOUGH: Final = 0.9
"""Share of the ceiling's macro-F1 that is asked for."""
TASKS: Final[Mapping[str, str]] = {
    "class": "class/f1_macro",
    "class, per patient": "class/patient_f1_macro",
    "threshold": "threshold/r2",
    "existence of wave V": "peak/exist_f1",
    "latency": "peak/latency_r2",
    "amplitude": "peak/amplitude_r2",
    "signal": "signal/snr_db",
}
"""Task -> the metric in which the network should beat the tree."""


@dataclass(frozen=True, slots=True)
class Target:
    """What a document asks for."""

    said: str
    """Which of levers.md, and where."""
    metric: str
    bound: float
    stage: int = 3
    """The stage whose confirmed validation mean stands beside it."""

    def met(self, value: float) -> bool:
        """Whether a value is good enough."""
        return value < self.bound if self.metric in SMALLER_IS_BETTER else value > self.bound

    @property
    def asked(self) -> str:
        """As it is written."""
        return f"{'<' if self.metric in SMALLER_IS_BETTER else '>'} {self.bound:g}"


TARGETS: Final = (
    Target("43, gate 1", "class/accuracy", 0.60, 1),
    Target("43, gate 1", "class/f1_macro", 0.40, 1),
    Target("43, gate 2", "signal/pearson", 0.5, 2),
    Target("43, gate 2", "signal/snr_db", 10.0, 2),
    Target("43, gate 2", "threshold/r2", 0.3, 2),
    Target("43, gate 2", "peak/latency_pearson", 0.5, 2),
    Target("43, gate 3", "class/accuracy", 0.70),
    Target("43, gate 3", "threshold/mae_db", 10.0),
    Target("43, gate 3", "peak/within_1_ms", 0.60),
    Target("44, 001", "peak/exist_f1", 0.9),
    Target("44, 001", "peak/false_rate", 0.10),
    Target("44, 001", "peak/latency_r2", 0.7),
    Target("44, 001", "peak/amplitude_r2", 0.6),
    Target("44, 004", "peak/amplitude_r2", 0.7),
    Target("44, 001", "threshold/r2", 0.5),
    Target("44, 001", "threshold/pearson", 0.7),
    Target("44, 001", "class/f1_macro", 0.6),
    Target("44, 004", "signal/pearson", 0.897),
)


@dataclass(frozen=True, slots=True)
class Ideal:
    """What the ideal reader of the recordings has, by metric; macro-F1 with its 95 % interval over patients."""

    accuracy: float
    f1_macro: Interval

    def value(self, metric: str) -> float | None:
        """Of a metric; None for those it does not speak of."""
        return {"class/accuracy": self.accuracy, "class/f1_macro": self.f1_macro.value}.get(metric)


@dataclass(frozen=True, slots=True, eq=False)
class Compared:
    """Everybody's answers for the same test recordings."""

    test: Recordings
    ours: Predictions
    together: Predictions | None
    """The confirmed leaders, where the run keeps several."""
    at_length: Predictions | None
    """A network trained at length on other recordings of the same simulation, where one is given."""
    tree: Predictions
    known: Predictions
    """Of trees that are given the true latents."""
    as_read: Predictions
    """Of trees that are given the latents as the noise lets them be read."""
    ideal: Ideal | None
    """Of Bayes' rule, for the class."""
    trivial: Mapping[str, float]
    faint: NDArray[np.bool_]
    """(N,) whether the response is smaller than the noise."""


def finished_stages(folder: Path) -> list[RunFolder]:
    """The stages of a finished run of stages, in order. Raises UserError for one that has not passed all its gates."""
    summary = RunFolder(folder).read_summary() or {}
    stages = [RunFolder(folder / stage["name"]) for stage in summary.get("stages", ())]
    if not stages:
        raise UserError(f"{folder} is no run of stages: `abr-tune run search_spaces/recovery.yaml` makes one")
    if summary.get("state") != "finished" or summary.get("stopped_at"):
        at = summary.get("stopped_at") or "unfinished"
        raise UserError(f"{folder} has not come to its end ({at}): the test recordings stay unseen")
    return stages


def confirmed_means(stage: RunFolder) -> dict[str, float]:
    """Validation metrics at the end of the fresh runs of a stage's best, averaged; of those that all of them have."""
    best = (stage.read_summary() or {})["finalists"][0]
    ends = [json.loads(_last_line(stage.path / run / "history.jsonl"))["metrics"] for run in best["runs"]]
    shared = set.intersection(*(set(end) for end in ends)) if ends else set()
    return {name: fmean(end[name] for end in ends) for name in shared}


def _last_line(file: Path) -> str:
    return file.read_text(encoding="utf-8").strip().splitlines()[-1]


def compare(stages: Sequence[RunFolder], at_length: Path | None = None, ideal: Path | None = None) -> Compared:
    """Answers of everybody; minutes, most of them for trees on many recordings.

    Raises UserError when the run was not trained on simulated recordings, its weights do not score what it says, or
    the training at length was of another simulation.
    """
    last = stages[-1]
    options = SimulatedData.model_validate(dict(read(last.best_config).data["data"]))
    data = load_dataset(options, folder=last.path)
    [test] = data.held_out("test")
    ours = _said(last.best / "model.safetensors", data)
    _same_as_reported(last, ours, test)
    _, latents = simulate_split("test", options.test, options.seed)
    fold: Fold = data.folds[0]
    trivial = trivial_scores(data.trains(), [test], test, split="test").values
    return Compared(
        test=test,
        ours=ours,
        together=_together(last, data),
        at_length=None if at_length is None else _at_length(at_length, options, data),
        tree=ceilings.tree_on_inputs(fold, "all", "test"),
        known=ceilings.informed(test, latents, knowledge="latents", seed=options.seed),
        as_read=ceilings.informed(test, latents, knowledge="reading", seed=options.seed),
        ideal=None if ideal is None else ideally(ideal, test),
        trivial={name.partition("/")[2]: value for name, value in trivial.items()},
        faint=(latents["amplitude_uv"] < latents["noise_sd_uv"]).to_numpy(),
    )


def _said(weights: Path, data: AbrDataset) -> Predictions:
    return held_out_predictions(load_model(weights), data, "test")


def _together(last: RunFolder, data: AbrDataset) -> Predictions | None:
    try:
        members = members_of(last, None)
    except UserError:
        return None
    return Said(tuple(_said(member.weights, data) for member in members)).together


def _at_length(folder: Path, options: SimulatedData, data: AbrDataset) -> Predictions:
    """Of a training whose test recordings are the same: only the number it was trained on may differ."""
    trained = dict(read(folder / "config.yaml").data["data"])
    if SimulatedData.model_validate(trained | {"train": options.train}) != options:
        raise UserError(f"{folder} was trained on {trained}, the run of stages on {options.model_dump()}")
    weights = newest_weights(folder)
    if weights is None:
        raise UserError(f"{folder} holds no weights: has `abr-tune train benchmarks/small.yaml` come to its end?")
    return _said(weights, data)


def ideally(file: Path, test: Recordings) -> Ideal:
    """Of the posteriors that `benchmarks.ideal_reader` kept. Raises UserError when they are of other recordings."""
    read = np.load(file)
    place_N, truth_N, weight_N = read["place"], read["truth"], read["weight"]
    if not np.array_equal(test.hearing_class[place_N], truth_N):
        raise UserError(f"{file} was read from other recordings: `python -m benchmarks.ideal_reader` reads these")
    likeliest_N = read["probability"].argmax(axis=1)
    said_N = decided(read["probability"], weight_N)
    return Ideal(
        float(np.average(likeliest_N == truth_N, weights=weight_N)),
        patient_bootstrap(truth_N, said_N, test.patient[place_N], weight_N),
    )


def _same_as_reported(last: RunFolder, ours: Predictions, test: Recordings) -> None:
    reported = (last.read_summary() or {})["test"]
    again = metric_value("class/f1_macro", ours, test)
    if abs(again - reported["test/class/f1_macro"]) > 1e-4:
        raise UserError(f"{last.best} scores {again:.4f}, its summary says another number: not its weights")


def check(folder: Path, at_length: Path | None = None, ideal: Path | None = None) -> Measured:
    """For the list of acceptance: the table, and whether what is asked for holds.

    Asked for: every target of 43 on the confirmed validation means; the tree beaten in every task; macro-F1 at
    ENOUGH of the ceiling; every target of 44 met, or out of reach of a ceiling.
    """
    stages = finished_stages(folder)
    found = compare(stages, at_length, ideal)
    rows = [*_rows([confirmed_means(stage) for stage in stages], found)]
    beaten = {task: paired_interval(metric, found.ours, found.tree, found.test) for task, metric in TASKS.items()}
    shares = [*_of_the_ceiling(found)]
    text = "\n".join(
        [
            _head(found),
            *_aligned(rows),
            "",
            *_beats(beaten),
            "",
            *(said for said, _ in shares),
            *_ideal(found),
            *_why(found),
        ]
    )
    holds = (
        not any(row["verdict"].startswith("missed") for row in rows)
        and all(each.low > 0 for each in beaten.values())
        and all(holds for _, holds in shares)
    )
    return Measured(holds, text)


def _head(found: Compared) -> str:
    patients = len(np.unique(found.test.patient))
    return f"simulated; test: {len(found.test)} recordings of {patients} patients never seen"


def _rows(means: Sequence[Mapping[str, float]], found: Compared) -> Iterator[dict[str, str]]:
    for target in TARGETS:
        metric = target.metric
        columns = {
            "ours": found.ours,
            "together": found.together,
            "at length": found.at_length,
            "tree": found.tree,
            "latents as read": found.as_read,
            "ceiling": found.known,
        }
        values = {name: _value(metric, said, found.test) for name, said in columns.items()}
        validation = means[target.stage - 1].get(f"val/{metric}")
        values["ideal reader"] = None if found.ideal is None else found.ideal.value(metric)
        # Of the true latents the noise-free signal follows.
        values["ceiling"] = {"signal/pearson": 1.0, "signal/snr_db": np.inf}.get(metric, values["ceiling"])
        yield {
            "lever": target.said,
            "target": f"{metric} {target.asked}",
            "validation": _shown(validation),
            "test": _shown(values["ours"]),
            "leaders together": _shown(values["together"]),
            "small at length": _shown(values["at length"]),
            "trivial": _shown(found.trivial.get(metric)),
            "tree": _shown(values["tree"]),
            "ours - tree": _between(paired_interval(metric, found.ours, found.tree, found.test)),
            "latents as read": _shown(values["latents as read"]),
            "ideal reader": _shown(values["ideal reader"]),
            "ceiling": _shown(values["ceiling"]),
            "verdict": verdict(target, validation, values, _at_most(metric, found)),
        }


def _value(metric: str, said: Predictions | None, test: Recordings) -> float | None:
    if said is None or (metric.startswith("signal/") and said.signal is None):
        return None
    return metric_value(metric, said, test)


def verdict(target: Target, validation: float | None, values: Mapping[str, float | None], at_most: float | None) -> str:
    """In words. A gate is judged by the validation mean of its stage, any other target by the test patients.

    `at_most`: what nobody who sees the recordings can pass, where that is known in another way.
    """
    gate = target.said.startswith("43")
    value = validation if gate else values["ours"]
    if value is None:
        return "missed: not computed"
    if target.met(value):
        return "reached"
    short = f"short by {abs(target.bound - value):.3f}"
    for name, who in (("together", "the leaders together"), ("at length", "`small` at length")):
        other = values[name]
        if not gate and other is not None and target.met(other):
            return f"reached by {who} ({other:.3f}); alone {short}"
    for name, words, best in (
        ("the true latents give", "out of reach", values["ceiling"]),
        ("at most", "out of reach of the noise", at_most),
        ("latents as it lets them be read give", "out of reach of the noise", values["latents as read"]),
    ):
        if best is not None and not target.met(best):
            return f"{words}: {name} {best:.3f}; {short}"
    return f"missed, {short}"


def _at_most(metric: str, found: Compared) -> float | None:
    """What nobody who sees the recordings can pass; of the ideal reader the upper end of its interval."""
    if metric == "signal/pearson":
        return _best_signal(found)
    return found.ideal.f1_macro.high if metric == "class/f1_macro" and found.ideal is not None else None


def _best_signal(found: Compared) -> float:
    """Signal correlation if all responses above the noise were restored perfectly, the others as well as by anybody."""
    varies_N, truth_NT, weight_N = _varies(found), found.test.clean, weights_of(found.test)
    faint_N = varies_N & found.faint
    share = float(weight_N[faint_N].sum() / weight_N[varies_N].sum())
    best = -1.0
    for said in (found.ours, found.together, found.at_length, found.tree):
        if truth_NT is not None and said is not None and said.signal is not None:
            reached_K = row_pearson(said.signal[faint_N], truth_NT[faint_N])
            best = max(best, float(np.average(reached_K, weights=weight_N[faint_N])))
    return 1 - share + share * best


def _varies(found: Compared) -> NDArray[np.bool_]:
    """(N,) which recordings hold a response at all."""
    if found.test.clean is None:
        raise UserError("the test recordings have no noise-free truth")
    return varies_in_time(found.test.clean)


def _of_the_ceiling(found: Compared) -> Iterator[tuple[str, bool]]:
    for metric, unit in (("class/f1_macro", "recording"), ("class/patient_f1_macro", "patient")):
        ours, ceiling, as_read = (
            metric_value(metric, said, found.test) for said in (found.ours, found.known, found.as_read)
        )
        others = {"together": found.together, "small at length": found.at_length}
        reached = {name: metric_value(metric, said, found.test) for name, said in others.items() if said is not None}
        enough = max([ours, *reached.values()]) >= ENOUGH * ceiling
        reach = as_read >= ENOUGH * ceiling
        words = "" if enough else f"; {ENOUGH:.0%} {'is not reached' if reach else 'are out of reach of the noise'}"
        beside = "".join(f", {name} {value:.3f}" for name, value in reached.items())
        yield (
            f"macro-F1 per {unit}: ours {ours:.3f}, {ours / ceiling:.0%} of the ceiling {ceiling:.3f} and "
            f"{ours / as_read:.0%} of {as_read:.3f}, which is all that the noise leaves of the latents "
            f"({as_read / ceiling:.0%} of the ceiling){words}{beside}",
            enough or not reach,
        )


def _ideal(found: Compared) -> Iterator[str]:
    if found.ideal is not None:
        each = found.ideal.f1_macro
        ours, ceiling = (metric_value("class/f1_macro", said, found.test) for said in (found.ours, found.known))
        yield (
            f"an ideal reader (Bayes' rule under the simulator's law): macro-F1 per recording {each.value:.3f} "
            f"({each.low:.3f} to {each.high:.3f}), {each.value / ceiling:.0%} of the ceiling; ours is "
            f"{ours / each.value:.0%} of it"
        )


def _beats(beaten: Mapping[str, Interval]) -> Iterator[str]:
    for task, found in beaten.items():
        words = "beaten" if found.low > 0 else "NOT beaten"
        span = f"{found.value:+.4f} ({found.low:+.4f} to {found.high:+.4f})"
        yield f"tree on all inputs, {task} ({TASKS[task]}): {words}, {span}"


def _why(found: Compared) -> Iterator[str]:
    """What limits the targets that are out of reach."""
    probability, visible = found.as_read.exist_probability, found.test.peak_exist > 0.5
    if probability is None or found.ours.exist_probability is None:
        return
    parts = []
    for name, said in (("ours", found.ours.exist_probability), ("latents as read", probability)):
        cut = float(np.quantile(said[~visible], 0.9))
        hits = float((said[visible] >= cut).sum())
        parts.append(f"{name} {2 * hits / (hits + (said >= cut).sum() + visible.sum() - hits):.3f}")
    yield "false peaks held at 10 % by another cut than one half: existence F1 " + ", ".join(parts)
    varies_N = _varies(found)
    share = (found.faint & varies_N).sum() / varies_N.sum()
    yield f"{share:.0%} of the responses are smaller than their recording's noise"


def _shown(value: float | None) -> str:
    return "-" if value is None else "exact" if np.isinf(value) else f"{value:.3f}"


def _between(found: Interval) -> str:
    return f"{found.low:+.3f} to {found.high:+.3f}"


def _aligned(rows: Sequence[Mapping[str, str]]) -> list[str]:
    widths = {name: max(len(name), *(len(row[name]) for row in rows)) for name in rows[0]}
    lines = ["  ".join(name.ljust(width) for name, width in widths.items())]
    return lines + ["  ".join(row[name].ljust(width) for name, width in widths.items()).rstrip() for row in rows]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; 1 when something asked for is missed, 2 for a folder that is no finished recovery."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run", type=Path, help="folder of a finished run of stages")
    parser.add_argument("--at-length", type=Path, help="folder of `abr-tune train benchmarks/small.yaml`")
    parser.add_argument("--ideal", type=Path, help="file of `python -m benchmarks.ideal_reader`")
    chosen = parser.parse_args(arguments)
    try:
        measured = check(chosen.run, chosen.at_length, chosen.ideal)
    except UserError as mistake:
        print(mistake, file=sys.stderr)
        return 2
    print(measured.text)
    return 0 if measured.holds else 1


if __name__ == "__main__":
    raise SystemExit(main())
