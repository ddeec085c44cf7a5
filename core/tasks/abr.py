"""The ABR task: hearing-loss class, threshold, wave V and the denoised signal from one recording.

Importing this module imports neither torch nor what stands on it: the methods do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel

from core.report import EpochReport
from core.tasks.abr_names import HEADLINE
from core.tasks.abr_options import AbrData, AbrOptions, RecordedData, SimulatedData
from core.tasks.task import Exported, Objective, Reference, Scores, Task, Together

if TYPE_CHECKING:
    import pandas as pd

    from core.data.recordings import Recordings
    from core.tasks.abr_data import AbrDataset


class AbrTask(Task):
    """Joins recordings, network, losses, metrics and health profile."""

    name: ClassVar[str] = "abr"
    options: ClassVar[type[BaseModel]] = AbrOptions
    data: ClassVar[Any] = AbrData
    objective: ClassVar[Objective | None] = Objective(HEADLINE)

    def load(self, data: Any, *, folder: Path) -> AbrDataset:
        """Recordings, simulated or read from a file, divided by patient.

        Raises ValueError (DataMistakes, TooFewPatients) when the file is missing or makes no sense.
        """
        from core.tasks.abr_data import load_dataset

        return load_dataset(data, folder=folder)

    def fingerprint(self, dataset: AbrDataset) -> str:
        """SHA-256 over the recordings of every split."""
        return dataset.fingerprint

    def remarks(self, dataset: AbrDataset) -> Sequence[str]:
        """What each part of the data lacks, or shares with another."""
        from core.tasks.abr_data import remarks

        return remarks(dataset)

    def baselines(self, dataset: AbrDataset) -> Mapping[str, float]:
        """Validation scores of the trivial predictors."""
        from core.tasks.abr_run import baselines

        return baselines(dataset, "val", dataset.held_out("val"))

    def train(
        self, options: Any, *, seed: int, checkpoint: Path, start: Path | None = None, **data: Any
    ) -> Iterator[EpochReport]:
        """Train one configuration on `data`, the data set that `load` returned; see `core.training.loop.train`.

        Raises ValueError when the options and the data do not fit each other, `checkpoint` holds another run, or
        `start` holds no weights.
        """
        from core.tasks.abr_run import build_run
        from core.training.loop import train

        yield from train(build_run(options, data["data"], seed=seed, start=start), checkpoint)

    def folds(self, dataset: AbrDataset, *, count: int, seed: int) -> Sequence[AbrDataset]:
        """Training and validation patients divided anew, stratified; the test patients stay where they are.

        Raises ValueError for data that are a cross-validation already, and when there are fewer patients than folds.
        """
        from core.tasks.abr_data import refolded

        return refolded(dataset, count=count, seed=seed)

    def may_overlap(self, data: BaseModel, earlier: BaseModel) -> bool:
        """Not two simulations: training, validation and test patients come from streams of their own."""
        return not (isinstance(data, SimulatedData) and isinstance(earlier, SimulatedData))

    def indivisible(self, data: BaseModel) -> str | None:
        """Simulated recordings are not, nor are those of a cross-validation."""
        if isinstance(data, SimulatedData):
            return "simulated recordings cannot be divided into folds: their validation part is drawn by quota"
        if isinstance(data, RecordedData) and data.split == "leave_one_patient_out":
            return (
                "leave_one_patient_out is a cross-validation already: its data cannot be divided into folds, those of "
                "split by_patient can"
            )
        return None

    def splits(self, dataset: AbrDataset) -> Sequence[str]:
        """Validation, and test where every fold has one."""
        return ("val", "test") if all(fold.test is not None for fold in dataset.folds) else ("val",)

    def evaluate(self, weights: Path, *, data: AbrDataset, split: str) -> Scores:
        """Score saved weights on a split (`val` or `test`).

        Weights of a cross-validation score the folds they were held out from; on other data their networks predict
        together. Raises ValueError when the weights or the recordings do not fit.
        """
        from core.tasks.abr_evaluation import evaluate

        return evaluate(weights, data, split)

    def evaluate_together(self, weights: Sequence[Path], *, data: AbrDataset, split: str) -> Together:
        """Score several saved weights on a split: probabilities and numbers averaged, and each by itself.

        Raises ValueError when the weights or the recordings do not fit.
        """
        from core.tasks.abr_evaluation import evaluate_together

        return evaluate_together(weights, data, split)

    def evaluate_file(self, weights: Sequence[Path], file: Path, *, data: AbrDataset | None) -> Together:
        """Score saved weights on a file of recordings, at whatever rate and length; labels it lacks are not scored.

        Raises ValueError (DataMistakes) when the file makes no sense or has classes that the weights do not know.
        """
        from core.tasks.abr_evaluation import evaluate_file

        return evaluate_file(weights, file, data)

    def references(self, weights: Path, *, data: AbrDataset, split: str) -> Sequence[Reference]:
        """Gradient-boosted trees, the level alone, human readers: whatever the labels allow; see `abr_references`."""
        from core.tasks.abr_references import references

        return references(weights, data, split)

    def program(self, weights: Path, to: Path) -> Exported:
        """The model as a program: `signal` and `static` in, named predictions out; any number of recordings."""
        from core.tasks.abr_program import write_program

        return write_program(weights, to)

    def generate(
        self,
        weights: Path,
        count: int,
        *,
        temperature: float,
        constrained: bool,
        seed: int,
        condition: Mapping[str, str | float],
    ) -> Recordings:
        """Recordings drawn from weights trained with `model.diffusion`; see `core.generation.generate_joint`.

        Raises ValueError for other weights, an unknown name in `condition`, and one that no recording meets.
        """
        from core.generation import as_recordings, generate_joint
        from core.tasks.abr_weights import load_model

        model = load_model(weights)
        drawn = generate_joint(model, count, temperature, constrained, seed=seed, condition=condition)
        return as_recordings(drawn, model, seed=seed)

    def predict(self, weights: Path, file: Recordings | Path) -> pd.DataFrame:
        """Predictions for a table or file of recordings, one row each; see `abr_prediction.prediction_table`."""
        from core.tasks.abr_prediction import prediction_table
        from core.tasks.abr_weights import load_model

        model = load_model(weights)
        if isinstance(file, Path):
            from core.data.files import read

            file = read(file)
        return prediction_table(model, file)
