"""What classification tasks have in common as tasks of the harness.

Importing this module imports neither torch nor what stands on it: the methods do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from core.classification.dataset import ClassifierDataset, refolded, remarks
from core.classification.options import HEADLINE
from core.report import EpochReport
from core.tasks.task import Objective, Scores, Task, Together

if TYPE_CHECKING:
    import pandas as pd
    from torch import nn

    from core.classification.run import Recipe
    from core.classification.weights import About


class ClassifierTask(Task):
    """One class for each example; a task says what is read (`load`, `files`) and by which network (`recipe`)."""

    objective: ClassVar[Objective | None] = Objective(HEADLINE)
    suffixes: ClassVar[tuple[str, ...]]
    """Of the files it reads."""

    def recipe(self) -> Recipe:
        """Its networks, and what it does to training batches."""
        raise NotImplementedError

    def rebuilt(self, about: About) -> nn.Module:
        """An untrained network for weights with this header. Raises ValueError for a header that makes no sense."""
        raise NotImplementedError

    def fingerprint(self, dataset: ClassifierDataset) -> str:
        """SHA-256 over the examples of every split."""
        return dataset.fingerprint

    def remarks(self, dataset: ClassifierDataset) -> Sequence[str]:
        """Classes with few examples, files that were left out."""
        return tuple(remarks(dataset))

    def baselines(self, dataset: ClassifierDataset) -> Mapping[str, float]:
        """Validation scores of the class shares."""
        from core.classification.scores import baselines

        return baselines(dataset, "val")

    def train(
        self, options: Any, *, seed: int, checkpoint: Path, start: Path | None = None, **data: Any
    ) -> Iterator[EpochReport]:
        """Train one configuration on `data`, the data set that `load` returned; see `core.training.loop.train`.

        Raises ValueError when the options and the data do not fit each other, `checkpoint` holds another run, or
        `start` holds no weights.
        """
        from core.classification.run import build_run
        from core.training.loop import train

        yield from train(build_run(self.recipe(), options, data["data"], seed=seed, start=start), checkpoint)

    def folds(self, dataset: ClassifierDataset, *, count: int, seed: int) -> Sequence[ClassifierDataset]:
        """Training and validation groups divided anew, stratified; the test part stays where it is.

        Raises ValueError for data that are a cross-validation already, and when there are fewer groups than folds.
        """
        return refolded(dataset, count=count, seed=seed)

    def splits(self, dataset: ClassifierDataset) -> Sequence[str]:
        """Validation, and test where every fold has one."""
        return ("val", "test") if all(fold.test is not None for fold in dataset.folds) else ("val",)

    def evaluate(self, weights: Path, *, data: ClassifierDataset, split: str) -> Scores:
        """Score saved weights on a split (`val` or `test`).

        Weights of a cross-validation score the folds they were held out from; on other data their networks predict
        together. Raises ValueError when the weights or the examples do not fit.
        """
        from core.tasks.classifier_evaluation import evaluate

        return evaluate(self, [weights], data, split).scores

    def evaluate_together(self, weights: Sequence[Path], *, data: ClassifierDataset, split: str) -> Together:
        """Score the mean of what several saved weights say, and each by itself."""
        from core.tasks.classifier_evaluation import evaluate

        return evaluate(self, weights, data, split)

    def evaluate_file(self, weights: Sequence[Path], file: Path, *, data: ClassifierDataset | None) -> Together:
        """Score saved weights on files of one's own: a folder with a folder for each class, or a table."""
        from core.tasks.classifier_evaluation import evaluate_file

        return evaluate_file(self, weights, file, data)

    def predict(self, weights: Path, file: Path) -> pd.DataFrame:
        """Predictions for a file, or for every file in a folder: name, class, probability of each class."""
        from core.tasks.classifier_evaluation import prediction_table

        return prediction_table(self, weights, file)

    def examples(self, files: Sequence[Path], about: About) -> Any:
        """(N, ...) the files as the networks of these weights read them; raises ValueError naming what is damaged."""
        raise NotImplementedError

    def views(self, count: int) -> Any:
        """(N, 1, numbers) views of `count` examples as they are; None where the networks know none."""
        return None
