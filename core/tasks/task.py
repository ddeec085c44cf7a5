"""What the harness needs to know of a prediction problem."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import BaseModel

from core.health import HealthOptions
from core.report import EpochReport


@dataclass(frozen=True, slots=True)
class Objective:
    """The metric a search improves, and which way is better."""

    metric: str
    direction: Literal["maximize", "minimize"] = "maximize"


@dataclass(frozen=True, slots=True, kw_only=True)
class Confusion:
    """How often each true class was predicted as which class."""

    classes: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    """One row for each true class, one column for each predicted one."""
    trained: tuple[int, ...] = ()
    """Examples of each class that the weights were trained on; empty where nobody says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reliability:
    """The predictions whose confidence lies in one stretch: how sure they were, and how often right."""

    low: float
    high: float
    confidence: float
    """Mean over the stretch."""
    accuracy: float
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """Metrics of saved weights on one split, the trivial baselines beside them, and why some are absent."""

    metrics: Mapping[str, float]
    baselines: Mapping[str, float]
    absent: Mapping[str, str] = field(default_factory=dict)
    confusion: Confusion | None = None
    """None for a task that predicts no class."""
    calibration: tuple[Reliability, ...] = ()
    """Stretches of confidence that hold predictions, in order; empty for a task that predicts no class."""

    def to_json(self) -> dict[str, Any]:
        """Plain numbers and words."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Together:
    """Scores of several trained models that predict together, and of each by itself on the same recordings."""

    scores: Scores
    members: tuple[Scores, ...]
    remarks: tuple[str, ...] = ()
    """What a reader of these scores must know of the recordings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """What something other than the trained model scores on the same recordings: a tree, a rule, human readers."""

    name: str
    metric: str
    value: float
    ours: float | None = None
    """The trained model's score on the same recordings; None where it has none."""
    interval: tuple[float, float] | None = None
    """95 % interval of the paired difference, ours minus this; None where it would mean nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """A program written from saved weights: what goes in, what comes out, and how near it is to the model."""

    inputs: Mapping[str, str]
    """Name -> shape and meaning, in the order of the arguments."""
    outputs: Mapping[str, tuple[int, ...]]
    """Name -> shape for one recording."""
    difference: float
    """Largest difference from the model, as a share of the spread of each output."""
    tolerance: float


class Task:
    """A problem the harness can search: a name, its options, and a training run that yields epoch reports.

    A task of the user's own may subclass this or be any object with `name`, `options` and `train`; what it does not
    define falls back to what stands here. Importing a task's module must not import torch: `train` does.
    """

    name: ClassVar[str]
    options: ClassVar[type[BaseModel]]
    """Every searchable path is a field path of this model."""
    data: ClassVar[Any] = None
    """Pydantic model (or union of models) of the `data:` section, None for a task without data.

    A task with data defines `load`, and its `train` receives what that returned.
    """
    objective: ClassVar[Objective | None] = None
    health: ClassVar[HealthOptions] = HealthOptions()
    """The rules that watch a run of this task unless the space file says otherwise."""

    def load(self, data: BaseModel, *, folder: Path) -> Any:
        """The data set: built once per machine, shared by all trials, read only.

        Returns an object of numpy arrays (it must pickle); relative paths in `data` are relative to `folder`.
        """
        raise NotImplementedError(f"task {self.name} declares data options but no load()")

    def fingerprint(self, dataset: Any) -> str:
        """A hash of the data set: equal exactly when the numbers are."""
        return "none"

    def remarks(self, dataset: Any) -> Sequence[str]:
        """Sentences on the data set that a reader of any result on it must know; a run begins with them."""
        return ()

    def baselines(self, dataset: Any) -> Mapping[str, float]:
        """Metric -> score of a trivial predictor fitted on the training split, scored on the metric's split."""
        return {}

    def train(
        self, options: Any, *, seed: int, checkpoint: Path, start: Path | None = None, **data: Any
    ) -> Iterator[EpochReport]:
        """Train one configuration, yielding a report after each epoch.

        `checkpoint` is a folder of this run's own. When it holds a checkpoint, training continues from it, and the
        report it was saved with comes first again, so that nothing is lost between saving and recording. A checkpoint
        is on disk before its report is yielded. A task with data also receives `data=`, what `load` returned.
        `start` is a file of weights to begin from: tensors of equal name and shape are taken, the rest begin anew; it
        is given only to a task whose `train` names it, and a checkpoint comes before it.
        """
        raise NotImplementedError

    def splits(self, dataset: Any) -> Sequence[str]:
        """Held-out splits that saved weights can be scored on, `val` before `test`; none without `evaluate`."""
        return ()

    def evaluate(self, weights: Path, *, data: Any, split: str) -> Scores:
        """Score saved weights (`model.safetensors`) on a split (`val` or `test`) of a data set."""
        raise NotImplementedError(f"task {self.name} cannot score saved weights")

    def evaluate_together(self, weights: Sequence[Path], *, data: Any, split: str) -> Together:
        """Score several saved weights of one data set on a split, together and each by itself."""
        raise NotImplementedError(f"task {self.name} cannot combine several saved weights")

    def evaluate_file(self, weights: Sequence[Path], file: Path, *, data: Any) -> Together:
        """Score saved weights on a file of one's own, named as scores of `test`; `data` is what they were trained on.

        The trivial baselines are fitted on the training split of `data`; there are none where that is None. Raises
        ValueError when the file does not fit the weights.
        """
        raise NotImplementedError(f"task {self.name} cannot score a file of recordings")

    def folds(self, dataset: Any, *, count: int, seed: int) -> Sequence[Any]:
        """`count` data sets made of this one, each holding out another part for validation; none has other test data.

        What trained or validated is divided anew, so that everything validates once. Empty for a task that cannot.
        Raises ValueError where these data cannot be divided so.
        """
        return ()

    def may_overlap(self, data: BaseModel, earlier: BaseModel) -> bool:
        """Whether data of other options may have trained on what these hold out; asked where weights are taken over."""
        return True

    def indivisible(self, data: BaseModel) -> str | None:
        """Why data of these options cannot be divided into folds; None where they can. Asked before they are loaded."""
        return None

    def predict(self, weights: Path, recordings: Any) -> Any:
        """What saved weights say of a file (a path) or table of recordings: a data frame, one row each.

        Raises ValueError when the recordings do not fit the weights.
        """
        raise NotImplementedError(f"task {self.name} cannot predict")

    def program(self, weights: Path, to: Path) -> Exported:
        """Write saved weights as a program of torch's format (`torch.export`), checked against the model.

        Raises ValueError when the weights are none of this task's, or the program says something else.
        """
        raise NotImplementedError(f"task {self.name} cannot be written as a program")

    def generate(
        self,
        weights: Path,
        count: int,
        *,
        temperature: float,
        constrained: bool,
        seed: int,
        condition: Mapping[str, str | float],
    ) -> Any:
        """`count` examples drawn from saved weights, as a table like those the task reads, its origin said in it.

        `temperature` scales how they spread, `condition` fixes what they share. Raises ValueError for weights that
        cannot generate and for a condition that nothing meets.
        """
        raise NotImplementedError(f"task {self.name} cannot generate")

    def references(self, weights: Path, *, data: Any, split: str) -> Sequence[Reference]:
        """What else scores on this split, beside the saved weights; may take seconds, asked once per run."""
        return ()
