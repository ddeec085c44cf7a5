"""A long tail of real recordings: nothing against it, document 003's remedy, and what a search finds.

    python benchmarks/sounds.py [--out FOLDER] [--trials N]

The recordings are the spoken digits beside the checkout (`../shared/data/fsdd`), digit and speaker as 60 classes,
thinned out to the counts of document 003's birds. Baseline and remedy are start points of search_spaces/audio.yaml;
they and the best of its search are trained with the same fresh seeds, and scored on ten untouched recordings of each
class. Always the majority stands beside them.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from benchmarks.checks import abr_tune  # noqa: E402

SPACE: Final = ROOT / "search_spaces" / "audio.yaml"
RECORDINGS: Final = ROOT.parent / "shared" / "data"
SEEDS: Final = (1, 2, 3)
"""Those that confirm the best: not the one that a search trains with."""
METRICS: Final = ("test/class/f1_macro", "test/class/f1_rare", "test/class/accuracy")
COMPARED: Final = ("baseline", "remedy")
"""Start points of the space that stand beside the best."""


@dataclass(frozen=True, slots=True)
class Line:
    """One row of the table: the mean and the spread over seeds of each metric."""

    name: str
    scores: Mapping[str, tuple[float, float]]


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
    import torch

    from abr_tune.plan.config import load_config
    from abr_tune.plan.load import load_plan
    from abr_tune.plan.overrides import resolve

    torch.set_num_threads(1)
    best = load_config(run / "best.yaml")
    plan = load_plan(run / "space.yaml", overrides=[f"data={json.dumps(data())}"])
    dataset = plan.task.load(plan.data, folder=plan.folder)
    starts = {start.name: start.values for start in plan.start_from}
    options = {name: resolve(plan.task.options, {**plan.train, **starts[name]}) for name in COMPARED}
    lines = []
    for name, chosen in {**options, "best found": best.options}.items():
        found = [_trained(plan.task, chosen, dataset, seed) for seed in SEEDS]
        lines.append(Line(name, {metric: _mean_sd([each[0][metric] for each in found]) for metric in METRICS}))
        majority = found[0][1]
    return [Line("always the majority", {metric: (majority[metric], 0.0) for metric in METRICS}), *lines]


def _trained(task: Any, options: Any, dataset: Any, seed: int) -> tuple[Mapping[str, float], Mapping[str, float]]:
    """Test scores after a whole training, and those of the majority."""
    with tempfile.TemporaryDirectory() as folder:
        for _ in task.train(options, seed=seed, checkpoint=Path(folder), data=dataset):
            pass
        weights = max(Path(folder).glob("epoch-*/model.safetensors"))
        scores = task.evaluate(weights, data=dataset, split="test")
        return scores.metrics, scores.baselines


def _mean_sd(values: list[float]) -> tuple[float, float]:
    return statistics.fmean(values), statistics.stdev(values)


def printed(lines: list[Line]) -> str:
    """The table in columns."""
    head = f"{'':22}" + "".join(f"{metric.removeprefix('test/class/'):>18}" for metric in METRICS)
    rows = [
        f"{line.name:22}"
        + "".join(f"{line.scores[metric][0]:>10.3f} ± {line.scores[metric][1]:.3f}" for metric in METRICS)
        for line in lines
    ]
    return "\n".join([head, *rows])


def main() -> None:
    """Search, train what is compared, print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "results", help="where the run folder goes")
    parser.add_argument("--trials", type=int, help="instead of those of the space")
    arguments = parser.parse_args()
    if not RECORDINGS.is_dir():
        sys.exit(f"there are no recordings in {RECORDINGS}")
    run, seconds = search(arguments.out, trials=arguments.trials)
    print(f"test scores over seeds {', '.join(map(str, SEEDS))}; search {seconds:.0f} s, run folder {run}")
    print(printed(table(run)))


if __name__ == "__main__":
    main()
