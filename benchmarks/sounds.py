"""A long tail of real recordings: nothing against it, document 003's remedy, and what a search finds.

    python benchmarks/sounds.py [--out FOLDER] [--trials N]

The recordings are the spoken digits beside the checkout (`../shared/data/fsdd`), digit and speaker as 60 classes,
thinned out to the counts of document 003's birds. Baseline and remedy are start points of search_spaces/audio.yaml;
they and the best of its search are trained with the same fresh seeds, and scored on ten untouched recordings of each
class. Always the majority stands beside them, and by how much the best is ahead of each: 95 % intervals of a paired
bootstrap over the test recordings, the seeds pooled.
"""

# N test recordings, S seeds, K classes.

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

import numpy as np

ROOT: Final = Path(__file__).parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from benchmarks.checks import abr_tune  # noqa: E402
from core.data.references import Metric, paired_patient_bootstrap  # noqa: E402
from core.metrics.resampled import Interval, macro_f1  # noqa: E402

SPACE: Final = ROOT / "search_spaces" / "audio.yaml"
RECORDINGS: Final = ROOT.parent / "shared" / "data"
SEEDS: Final = (1, 2, 3)
"""Not the one that a search trains with."""
METRICS: Final = ("test/class/f1_macro", "test/class/f1_rare", "test/class/accuracy")
COMPARED: Final = ("baseline", "remedy")
"""Start points of the space that stand beside the best."""
BEST: Final = "best found"
MAJORITY: Final = "always the majority"
CORES: Final = 2


@dataclass(frozen=True, slots=True)
class Trained:
    """One configuration trained with one seed."""

    scores: Mapping[str, float]
    baselines: Mapping[str, float]
    said_N: np.ndarray
    """Class given to each test recording."""


@dataclass(frozen=True, slots=True)
class Line:
    """One row of the table."""

    name: str
    scores: Mapping[str, tuple[float, float]]
    """Mean and spread over the seeds of each metric."""
    ahead: Mapping[str, Interval]
    """By how much the best is better in each metric; none for the best itself."""


def data() -> dict[str, Any]:
    """The `data:` section."""
    return {
        "source": str(RECORDINGS / "fsdd" / "recordings"),
        "names": "{class}_{take}.wav",
        "long_tail": {"counts": str(RECORDINGS / "class_counts.json"), "key": "audio_species_counts"},
        "test_share": 0.0,
        "rare_most": 5,
        "seed": 7,
    }


def search(out: Path, *, trials: int | None) -> tuple[Path, float]:
    """The run folder of the search over the digits, and the seconds it took."""
    began = time.monotonic()
    size = [] if trials is None else ["--trials", str(trials)]
    answer = abr_tune(
        "run", str(SPACE), "--name", "digits", "--out", str(out), "--set", f"data={json.dumps(data())}", *size,
        cwd=ROOT, timeout=3600,
    )  # fmt: skip
    if answer.returncode:
        raise RuntimeError(f"abr-tune run ended with {answer.returncode}: {answer.stderr[-2000:]}")
    return out / "digits", time.monotonic() - began


def table(run: Path) -> list[Line]:
    """Always the majority, the start points to compare, and the best of the search."""
    from abr_tune.plan.config import load_config
    from abr_tune.plan.load import load_plan
    from abr_tune.plan.overrides import resolve

    plan = load_plan(run / "space.yaml", overrides=[f"data={json.dumps(data())}"])
    starts = {start.name: start.values for start in plan.start_from}
    options = {name: resolve(plan.task.options, {**plan.train, **starts[name]}) for name in COMPARED}
    options[BEST] = load_config(run / "best.yaml").options
    asked = [(run, chosen, seed) for chosen in options.values() for seed in SEEDS]
    with ProcessPoolExecutor(CORES, mp_context=get_context("spawn")) as pool:
        found = list(pool.map(_trained, asked))
    by_name = {name: found[place * len(SEEDS) :][: len(SEEDS)] for place, name in enumerate(options)}
    majority = found[0].baselines
    dataset = plan.task.load(plan.data, folder=plan.folder)
    [test] = dataset.held_out("test")
    alone = Trained(majority, majority, np.full(len(test), np.argmax(dataset.trains()[0].counts())))
    rare = [test.class_names.index(name) for name in dataset.rare]
    return [_line(name, each, by_name[BEST], test, rare) for name, each in {MAJORITY: [alone], **by_name}.items()]


def _trained(asked: tuple[Path, Any, int]) -> Trained:
    """Test scores after a whole training."""
    import torch

    from abr_tune.plan.load import load_plan
    from core.classification.batches import as_batch
    from core.classification.weights import load_classifier, probabilities
    from core.tasks.audio import AudioTask

    torch.set_num_threads(1)
    run, options, seed = asked
    plan = load_plan(run / "space.yaml", overrides=[f"data={json.dumps(data())}"])
    task = AudioTask()
    dataset = task.load(plan.data, folder=plan.folder)
    with tempfile.TemporaryDirectory() as folder:
        for _ in task.train(options, seed=seed, checkpoint=Path(folder), data=dataset):
            pass
        weights = max(Path(folder).glob("epoch-*/model.safetensors"))
        scores = task.evaluate(weights, data=dataset, split="test")
        [network] = load_classifier(weights, task.rebuilt, task=task.name).networks
        said_NK = probabilities(network, as_batch(dataset.held_out("test")[0]))
    return Trained(scores.metrics, scores.baselines, said_NK.argmax(1))


def _line(name: str, mine: list[Trained], best: list[Trained], test: Any, rare: list[int]) -> Line:
    scores = {metric: _mean_sd([each.scores[metric] for each in mine]) for metric in METRICS}
    return Line(name, scores, {} if name == BEST else _ahead(best, mine, test, rare))


def _ahead(best: list[Trained], other: list[Trained], test: Any, rare: list[int]) -> dict[str, Interval]:
    """Resampled are recordings: one drawn twice counts twice with every seed."""
    times = len(best)
    ours, theirs = (np.concatenate([each.said_N for each in group * (times // len(group))]) for group in (best, other))
    truth, name = np.tile(test.class_index, times), np.tile(test.name, times)
    of: dict[str, Metric] = dict(zip(METRICS, (macro_f1, _f1_of(rare), _accuracy), strict=True))
    return {metric: paired_patient_bootstrap(truth, ours, theirs, name, metric=value) for metric, value in of.items()}


def _f1_of(classes: list[int]) -> Metric:
    """Mean F1 of some classes, from confusion matrices (..., K, K) [truth, prediction]."""

    def mean_f1(confusion: np.ndarray) -> np.ndarray:
        hits = np.diagonal(confusion, axis1=-2, axis2=-1)
        counted = confusion.sum(axis=-1) + confusion.sum(axis=-2)
        return np.asarray((2 * hits / np.maximum(counted, 1e-300))[..., classes].mean(axis=-1))

    return mean_f1


def _accuracy(confusion: np.ndarray) -> np.ndarray:
    return np.asarray(np.trace(confusion, axis1=-2, axis2=-1) / confusion.sum(axis=(-2, -1)))


def _mean_sd(values: list[float]) -> tuple[float, float]:
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else 0.0


def beats(lines: list[Line], name: str) -> bool:
    """Whether the best is ahead of `name` in macro-F1 beyond the spread of seeds and the choice of test recordings."""
    metric = METRICS[0]
    line = {each.name: each for each in lines}
    (best, own), (other, its) = (line[each].scores[metric] for each in (BEST, name))
    return line[name].ahead[metric].low > 0 and best - own > other + its


def printed(lines: list[Line]) -> str:
    """The table in columns."""
    names = [metric.removeprefix("test/class/") for metric in METRICS]
    rows = [f"{'':22}" + "".join(f"{name:>18}" for name in names)]
    rows += [
        f"{line.name:22}"
        + "".join(f"{mean:>10.3f} ± {sd:.3f}" for mean, sd in (line.scores[metric] for metric in METRICS))
        for line in lines
    ]
    for line in lines:
        told = (f"{line.ahead[metric].low:>+9.3f} to {line.ahead[metric].high:+.3f}" for metric in line.ahead)
        rows += [f"{'ahead of ' + line.name:<28}" + "".join(f"{each:>19}" for each in told)] if line.ahead else []
    return "\n".join(rows)


def main() -> None:
    """Search, train what is compared, print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "results", help="where the run folder goes")
    parser.add_argument("--trials", type=int, help="instead of those of the space")
    arguments = parser.parse_args()
    if not RECORDINGS.is_dir():
        sys.exit(f"there are no recordings in {RECORDINGS}")
    run, seconds = search(arguments.out, trials=arguments.trials)
    began = time.monotonic()
    lines = table(run)
    print(f"search {seconds:.0f} s, table {time.monotonic() - began:.0f} s, run folder {run}")
    print(f"test scores, mean and spread over seeds {', '.join(map(str, SEEDS))}; below, 95 % of a paired bootstrap")
    print(printed(lines))


if __name__ == "__main__":
    main()
