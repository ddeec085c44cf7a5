"""Saved weights put to use: predictions for new data, scores on held-out data."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from abr_tune.borders import refuse_links
from abr_tune.console import stderr_console
from abr_tune.errors import UserError
from abr_tune.plain import uncalculated
from abr_tune.plan.begun import WEIGHTS
from abr_tune.plan.config import Config, load_config
from abr_tune.runs import find_run
from abr_tune.stages.folder import one_search
from abr_tune.trial import CONFIG
from core.tasks.task import Together

if TYPE_CHECKING:
    from core.data.recordings import Recordings

CONFIGS = ("best.yaml", CONFIG)
LEVELS_UP = 3
"""A checkpoint lies so far below the folder with its configuration at most."""


@dataclass(frozen=True, slots=True)
class Trained:
    """Weights and the configuration they were trained with."""

    weights: Path
    config: Config


def find_trained(name_or_path: str, out: Path, *, trust_code: bool = False) -> Trained:
    """The best weights of a run, or those in a folder that lies in a run or holds a configuration.

    Raises:
        UserError: there are none, or nothing says what they were trained with.
    """
    folder = Path(name_or_path)
    if (folder / WEIGHTS).is_file():
        refuse_links(folder)
    else:
        folder = one_search(find_run(name_or_path, out)) / "best"
        if not (folder / WEIGHTS).is_file():
            raise UserError(f"run {name_or_path} has no best weights yet; they come when a search has finished")
    for place in [folder, *folder.resolve().parents[:LEVELS_UP]]:
        for name in CONFIGS:
            if (place / name).is_file():
                config = load_config(place / name, trust_code=trust_code)
                for remark in config.remarks:
                    stderr_console().print(remark, markup=False)
                return Trained(folder / WEIGHTS, config)
    raise UserError(f"nothing near {folder} says what {WEIGHTS} was trained with: no best.yaml, no {CONFIG}")


def predict_file(trained: Trained, file: Path, to: Path) -> int:
    """Write predictions for `file` to a .parquet or .csv file; returns how many rows.

    Raises:
        UserError: the file cannot be used, or the target has another suffix.
    """
    if to.suffix not in {".parquet", ".csv"}:
        raise UserError(f"predictions go to a .parquet or .csv file, not to {to}")
    try:
        table = trained.config.task.predict(trained.weights, file)
    except (ValueError, OSError, NotImplementedError) as mistake:
        raise UserError(f"no predictions for {file}: {mistake}") from mistake
    to.parent.mkdir(parents=True, exist_ok=True)
    if to.suffix == ".parquet":
        table.to_parquet(to, index=False)
    else:
        table.map(_cell).rename(columns=uncalculated).to_csv(to, index=False)
    return len(table)


def generate_file(
    trained: Trained, to: Path, count: int, *, temperature: float, constrained: bool, seed: int, condition: list[str]
) -> Recordings:
    """Draw `count` recordings from weights and write them to an .npz or .parquet file.

    `condition` is a list of NAME=VALUE. Raises UserError for weights that cannot generate, for an unknown name, and for
    a condition that no recording meets.
    """
    from core.data.files import write

    fixed = dict(map(_assignment, condition))
    try:
        recordings: Recordings = trained.config.task.generate(
            trained.weights, count, temperature=temperature, constrained=constrained, seed=seed, condition=fixed
        )
    except (ValueError, OSError, NotImplementedError) as mistake:
        raise UserError(f"nothing is generated from {trained.weights}: {mistake}") from mistake
    write(recordings, to)
    return recordings


def _assignment(text: str) -> tuple[str, str | float]:
    """`class=NORMAL` or `intensity_db_nhl=80`; a class may be called what it likes."""
    name, equals, value = text.partition("=")
    if not equals or not value:
        raise UserError(f"--condition {text}: expected NAME=VALUE, such as intensity_db_nhl=80")
    if name == "class":
        return name, value
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise UserError(f"--condition {text}: {value} is not a number")
    return name, number


def _cell(value: Any) -> Any:
    """A series of numbers, such as a signal, as one line of JSON: a cell of a CSV file holds text, and no formula."""
    if isinstance(value, np.ndarray):
        return json.dumps(value.tolist())
    return uncalculated(value) if isinstance(value, str) else value


def score_all(weights: Sequence[Path], config: Config, *, split: str, file: Path | None) -> Together:
    """Scores of weights trained by one configuration's data, together and each by itself.

    On a held-out split of these data, or on a file of recordings.

    Raises:
        UserError: the data are gone or have no such split, the file cannot be used, or the task cannot do this.
    """
    task = config.task
    try:
        if file is not None:
            return task.evaluate_file(weights, file, data=_training_data(config))
        dataset = None if config.data is None else task.load(config.data, folder=config.folder)
        if split not in task.splits(dataset):
            raise UserError(f"these data have no {split} split to score on")
        if len(weights) > 1:
            return task.evaluate_together(weights, data=dataset, split=split)
        alone = task.evaluate(weights[0], data=dataset, split=split)
    except (ValueError, OSError, NotImplementedError) as mistake:
        what = "the data cannot be used" if file is None else f"no scores for {file}"
        raise UserError(f"{what}: {mistake}") from mistake
    return Together(scores=alone, members=(alone,))


def _training_data(config: Config) -> Any:
    """What the weights were trained on; None where that is not there any more, which is no reason not to score."""
    if config.data is None:
        return None
    try:
        return config.task.load(config.data, folder=config.folder)
    except (ValueError, OSError):
        return None
