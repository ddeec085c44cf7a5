"""The keys of a space file and what may stand under each; also the source of the schema for editors."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from abr_tune.plan.origin import Provenance
from abr_tune.plan.plan import Confirm, Pruner, Resources, Sampler
from abr_tune.plan.quantities import parse_bound, parse_bytes, parse_seconds

AUDIT: Final = 0.05
"""Share of the trials that run to their end whatever stops them, unless the file says otherwise.

It costs about this share of the epochs that stopping saves: one in twenty. Without it nobody knows whether what was
stopped would have ended well; with it a search of 100 trials estimates that on up to five of them.
"""

MOST_STARTS: Final = 256
"""Start points; each is a trial."""
MOST_STAGES: Final = 32
"""Stages; each is a whole search."""
SMALLEST_LIMIT: Final = 2**20
"""Bytes below which a limit of memory has lost its unit."""

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
_TAKEN: Final = frozenset(
    {"trained", "con", "prn", "aux", "nul", *(f"{port}{i}" for port in ("com", "lpt") for i in range(1, 10))}
)
"""What `abr-tune train` calls its folder, and the devices of Windows."""


class Section(BaseModel):
    """Base of the parts of a space file: unknown keys are mistakes."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_by_name=False, validate_by_alias=True)


def _time(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError("must be a time such as 10m or 1h 30m")
    parse_seconds(value)
    return value


def _size(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError("must be a size such as 2GiB or 500MB")
    if (size := parse_bytes(value)) < SMALLEST_LIMIT:
        raise ValueError(f"must have a unit, such as 2GiB: {value} is {size} bytes, and no training runs in that")
    return value


def check_name(name: str) -> str:
    """The name of a run, fit to be a folder's. Raises `ValueError`."""
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"must begin with a letter or digit and hold at most 64 of these, . _ and -, not {name or 'nothing'}"
        )
    if name.endswith(".") or name.partition(".")[0].lower() in _TAKEN:
        raise ValueError(f"must be another: {name} cannot be a run's folder everywhere")
    return name


def _folds(count: int) -> int:
    if count == 1:
        raise ValueError("must be at least 2, or 0 for none")
    return count


def _compared(value: Any) -> Any:
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise ValueError(f'must be a comparison such as "> {value}" or "< {value}", not the number {value} alone')
    return value


def _bound(text: str) -> str:
    parse_bound(text)
    return text


Finite = Annotated[float, Field(allow_inf_nan=False)]
Time = Annotated[Any, AfterValidator(lambda value: None if value is None else _time(value))]
Size = Annotated[Any, AfterValidator(lambda value: None if value is None else _size(value))]
Comparison = Annotated[str, BeforeValidator(_compared), AfterValidator(_bound)]
Name = Annotated[str, AfterValidator(check_name)]
Count = Annotated[int, Field(ge=1, le=10**9)]
Few = Annotated[int, Field(ge=0, le=1000)]


class ObjectiveSection(Section):
    """The metric to improve."""

    maximize: str | None = None
    """Metric whose larger values are better."""
    minimize: str | None = None
    """Metric whose smaller values are better."""

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.maximize is None) == (self.minimize is None):
            raise ValueError("name one metric, under maximize or under minimize")
        return self


class BudgetSection(Section):
    """How much may be spent on the search; confirmation is not part of it."""

    trials: Count
    """Trials to start, those from `start_from` included."""
    time: Time = None
    """Wall time such as `10m` or `1h 30m`; a plain number means seconds."""
    epochs: Count | None = None
    """No trial is started any more once so many epochs have been trained in all; those that run are ended well."""


class LimitsSection(Section):
    """What one trial may take before it is stopped."""

    time: Time = None
    """Wall time of its training such as `5m`, pauses not counted."""
    memory: Size = None
    """Memory that it adds to its process, such as `2GiB` or `500MB`; a plain number means bytes."""


class StopSection(Section):
    """When the whole search ends before its budget is spent."""

    no_improvement: Count | None = None
    """Trials that ended in a row without a better best."""


class ConfirmSection(Section):
    """The leaders are trained again with fresh seeds before one is called best."""

    top: Few = Confirm().top
    """How many leaders; 0 switches confirmation off."""
    seeds: Few = Confirm().seeds
    """How many fresh seeds for each."""
    folds: Annotated[Few, AfterValidator(_folds)] = Confirm().folds
    """Into how many parts training and validation data are divided anew, each held out once; 0: not at all."""


class CriterionSection(Section):
    """One line of the gate."""

    go: Comparison
    """What the confirmed mean must meet, such as `> 0.60`."""
    investigate: Comparison | None = None
    """What still asks for a closer look."""
    by_epoch: Count | None = None
    """Judged at this epoch instead of the last."""


class ResourcesSection(Section):
    """What one trial is given."""

    cpus: Count = Resources().cpus
    """CPU cores, and threads of torch."""
    gpus: Annotated[float, Field(ge=0, allow_inf_nan=False)] = Resources().gpus
    """GPUs; a fraction shares one between trials."""


class FromSection(Section):
    """An earlier run to begin from, and what to take of it besides its history."""

    run: Annotated[str, Field(min_length=1)]
    """Name or folder of the run."""
    weights: bool | None = None
    """Whether trainings begin from its best weights; when omitted: where there are some and the task takes them."""
    settings: bool = True
    """Whether options that this file neither fixes nor searches are as in its best configuration."""


class BegunSection(Section):
    """The weights a training began from."""

    weights: Annotated[str, Field(min_length=1)]
    """A model.safetensors, relative to this file."""
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    """Of that file: another one would train to something else."""


class SpaceFile(Section):
    """A search: what is fixed, what is searched, what counts as good, and how much it may cost."""

    name: Name | None = None
    """Name of the run, and of its folder under results/; the file's name when omitted."""
    about: str = ""
    """What the search is for, in a sentence or two."""
    task: str
    """The problem: a name such as abr, or module:attribute for a task of your own (with --trust-code)."""
    data: dict[str, Any] | None = None
    """Which recordings; `source: simulated` or a file."""
    train: dict[str, Any] = {}
    """Fixed training options; what is not named keeps its documented default."""
    search: dict[str, Any] = {}
    """Searched training options: path and how its values are spread."""
    start_from: Annotated[list[dict[str, Any]], Field(max_length=MOST_STARTS)] = []
    """Configurations tried first; `name` and some paths, the others keep their defaults."""
    since: str | FromSection | None = Field(None, alias="from")
    """An earlier run, by name or folder, or with settings: trials begin from its best configuration and weights.

    Its best configuration is tried first and stands for what the file leaves open; its trials teach the sampler."""
    objective: Any = None
    """The metric to improve, or a list of several whose trade-off is sought; the task's own when omitted."""
    constraints: dict[str, Comparison] = {}
    """Metric and what it must meet at the end for a trial to be eligible as the best, such as `> 0.8`."""
    health: dict[str, Any] = {}
    """Rules that stop hopeless trials; omitted ones keep the task's defaults, null or off switches one off."""
    pruner: Any = Pruner().kind
    """Which ranking between trials stops the hopeless ones, by name or with settings."""
    sampler: Any = Sampler().kind
    """Who proposes configurations, by name or with settings."""
    budget: BudgetSection
    """How much may be spent."""
    limits: LimitsSection = LimitsSection()
    """What one trial may take before it is stopped."""
    stop: StopSection = StopSection()
    """When the whole search ends before its budget is spent."""
    audit: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = AUDIT
    """Share of the trials that run to their end whatever stops them, to measure false stops; 0 switches it off."""
    confirm: ConfirmSection = ConfirmSection()
    """Fresh seeds for the leaders."""
    gate: dict[str, CriterionSection] = {}
    """Metric and what it must reach: go, investigate or no-go."""
    resources: ResourcesSection = ResourcesSection()
    """What one trial is given."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Seed of every trial of the search; confirmation uses the following ones."""


class StageSection(Section):
    """One stage of several, and what it takes of the one before besides its history."""

    file: Annotated[str, Field(min_length=1)]
    """A space file, relative to this file."""
    weights: bool | None = None
    """Whether its trainings begin from the best weights of the stage before; when omitted: where there are some."""
    settings: bool = True
    """Whether options that it neither fixes nor searches are as in the best configuration of the stage before."""


class StagesFile(Section):
    """Several searches in order, each from the best of the one before; the order ends at a gate that is not go."""

    name: Name | None = None
    """Name of the whole, and of its folder under results/; the file's name when omitted."""
    about: str = ""
    """What the stages are for, in a sentence or two."""
    stages: Annotated[list[str | StageSection], Field(min_length=1, max_length=MOST_STAGES)]
    """Space files, in the order they are run."""


class ConfigFile(Section):
    """One training configuration, as `abr-tune train` takes it and `best.yaml` holds it."""

    task: str
    """The problem: a name such as abr, or module:attribute for a task of your own (with --trust-code)."""
    code: str | None = None
    """Folder of the module of a task of your own, relative to this file."""
    data: dict[str, Any] | None = None
    """Which recordings; `source: simulated` or a file."""
    train: dict[str, Any] = {}
    """Training options; what is not named keeps its documented default."""
    start: BegunSection | None = None
    """Weights the training begins from; it begins with random ones when omitted."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Seed of the training run."""
    claims: dict[str, Finite] = {}
    """Metric -> value this configuration is said to reach."""
    objective: Any = None
    """The metric or metrics it was found by; the task's own when omitted."""
    health: dict[str, Any] = {}
    """Rules that watch the training; omitted ones keep the task's defaults, null or off switches one off."""
    tolerance: dict[str, Annotated[Finite, Field(ge=0)]] = {}
    """How far the objective may be from its claim: `same_seed`, and `fresh_seed` after confirmation."""
    provenance: Provenance = Provenance()
    """Where the configuration comes from: run, trial, versions, data fingerprint."""
