"""Trained ABR networks as a file that needs nothing beside it: weights, and a description in the header."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final, Self

import torch
from pydantic import Field, TypeAdapter
from safetensors import SafetensorError, safe_open

from core.config import Fraction
from core.data.check import MOST_CLASSES, MOST_SAMPLES, is_name
from core.data.recordings import STATIC, Recordings, SignalUnit
from core.data.scaling import Scaling
from core.data.tensors import Batch
from core.metrics import Predictions
from core.models.network import AbrNetwork, build_network
from core.models.outputs import Outputs
from core.tasks.abr_calibration import Calibration
from core.tasks.abr_names import Part
from core.tasks.abr_options import AbrOptions, Term
from core.training.checkpoint import ABOUT
from core.training.saved import fill, first_line

CHUNK: Final = 256
"""Recordings per forward pass outside training."""
MOST_FOLDS: Final = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class About:
    """What stands in the header of `model.safetensors`."""

    options: AbrOptions
    seed: int
    fingerprint: str
    """Of the data set trained on."""
    class_names: Annotated[tuple[str, ...], Field(max_length=MOST_CLASSES)]
    sampling_rate_hz: float
    samples: int
    unit: SignalUnit
    trained: tuple[Term, ...]
    """Terms that were on at some time; the heads of the others say nothing."""
    scalings: Annotated[tuple[Scaling, ...], Field(min_length=1, max_length=MOST_FOLDS)]
    """One per fold, fitted on its training split."""
    intervals: Mapping[str, float]
    """`threshold_db`, `latency_ms`, `amplitude_uv` -> half-width that covers 90 % of the validation recordings; in
    units of the predicted spread where the heads predict one."""
    temperature: float = 1.0
    """What the class logits are divided by, fitted on the validation recordings."""
    gates: Mapping[Part, Fraction] = field(default_factory=dict)
    """Part of the network -> how far its branches were open when the weights were saved; all of it where missing."""

    @property
    def calibration(self) -> Calibration:
        """How sure it may say it is."""
        return Calibration(temperature=self.temperature, intervals=self.intervals)

    def to_json(self) -> dict[str, Any]:
        """Plain numbers, words and lists."""
        record = {name: getattr(self, name) for name in self.__slots__}
        record["options"] = self.options.model_dump(mode="json", by_alias=True)
        record["scalings"] = [asdict(scaling) for scaling in self.scalings]
        return record

    @classmethod
    def from_json(cls, record: Any) -> Self:
        """The description that `to_json` wrote. Raises ValueError for one that describes no model, whoever wrote it."""
        about = TypeAdapter(cls).validate_python(record)
        _refuse_absurd(about)
        return about


def _refuse_absurd(about: About) -> None:
    """Weights are passed on: what they say of themselves must be possible before anything is made of that size."""
    names, targets = about.class_names, [(s.threshold, s.latency, s.amplitude) for s in about.scalings]
    spreads = [spread for s in about.scalings for spread in (*s.static_sd, s.signal, s.clean) if spread is not None]
    ends = [(target.low, target.high) for each in targets for target in each if target is not None]
    for what, possible in {
        "numbers": all(map(math.isfinite, _numbers(about.to_json()))),
        "class names": len(set(names)) == len(names) and all(map(is_name, names)),
        "sampling rate": 1_000 <= about.sampling_rate_hz <= 1_000_000,
        "number of samples": 1 <= about.samples <= MOST_SAMPLES,
        "static parameters": all(len(s.static_mean) == len(s.static_sd) == len(STATIC) for s in about.scalings),
        "spreads": all(spread > 0 for spread in spreads),
        "bounds": all(low <= high for low, high in ends),
        "temperature": about.temperature > 0,
        "intervals": all(width >= 0 for width in about.intervals.values()),
    }.items():
        if not possible:
            raise ValueError(f"its {what} cannot be those of a model")


def _numbers(record: Any) -> Iterator[float]:
    if isinstance(record, Mapping):
        record = list(record.values())
    if isinstance(record, list | tuple):
        for part in record:
            yield from _numbers(part)
    elif isinstance(record, float):
        yield record


@dataclass(frozen=True, slots=True, eq=False)
class TrainedModel:
    """The networks of all folds, ready to predict."""

    about: About
    networks: tuple[AbrNetwork, ...]


def load_model(path: Path) -> TrainedModel:
    """The networks in a `model.safetensors`; nothing in the file is executed.

    Raises ValueError when the file is not one of these, FileNotFoundError when there is none.
    """
    try:
        with safe_open(path, framework="pt") as file:
            about = About.from_json(json.loads((file.metadata() or {})[ABOUT]))
            return TrainedModel(about, tuple(_network(file, about, fold) for fold in range(len(about.scalings))))
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as damage:
        raise ValueError(f"{path} holds no trained ABR model: {first_line(damage)}") from damage


def _network(file: Any, about: About, fold: int) -> AbrNetwork:
    """The network of one fold; of the file only tensors of the right shape are read, however large it says it is."""
    network = network_for(about.options, about.scalings[fold], about)
    fill(network, file, f"fold{fold}.")
    gates = network.gates()
    for part, opening in about.gates.items():
        for gate in gates.get(part, ()):
            gate.open = opening
    return network.eval()


def network_for(options: AbrOptions, scaling: Scaling, shape: About | Recordings) -> AbrNetwork:
    """An untrained network for recordings like those of `shape`."""
    return build_network(
        options.model,
        scaling,
        samples=shape.samples,
        sampling_rate_hz=shape.sampling_rate_hz,
        num_classes=len(shape.class_names),
        spread=options.loss.regression == "gaussian_nll",
        outliers=options.loss.outliers,
    )


TERM_OF: Final[Mapping[str, Term]] = {
    "class_probability": "class",
    "threshold_db": "threshold",
    "exist_probability": "peak_exist",
    "latency_ms": "peak_latency",
    "amplitude_uv": "peak_amplitude",
    "signal": "signal",
    "threshold_sd_db": "threshold",
    "latency_sd_ms": "peak_latency",
    "amplitude_sd_uv": "peak_amplitude",
    "threshold_outlier_probability": "threshold",
}
"""Part of the predictions -> the term that trains its head."""


def predictions(network: AbrNetwork, scaling: Scaling, batch: Batch, *, trained: Collection[Term]) -> Predictions:
    """What a network says of recordings, not yet calibrated; heads of terms that are not `trained` stay silent."""
    network.eval()
    rows: dict[str, list[torch.Tensor]] = {}
    with torch.inference_mode():
        for first in range(0, len(batch), CHUNK):
            for name, part in said_of(network(batch.take(slice(first, first + CHUNK)))).items():
                rows.setdefault(name, []).append(part)
    spoken = spoken_of(scaling, trained)
    said: dict[str, Any] = {name: torch.cat(rows[name]).cpu().numpy() for name in rows if name in spoken}
    return Predictions(**said)


def spoken_of(scaling: Scaling, trained: Collection[Term]) -> frozenset[str]:
    """Parts of the predictions whose head was trained on labels."""
    labelled = {"threshold": scaling.threshold, "peak_latency": scaling.latency, "peak_amplitude": scaling.amplitude}
    silent = {term for term, target in {**labelled, "signal": scaling.clean}.items() if target is None}
    return frozenset(name for name, term in TERM_OF.items() if term in trained and term not in silent)


def said_of(outputs: Outputs) -> dict[str, torch.Tensor]:
    """Part of the predictions -> what the network's outputs say of it, whether trained or not."""
    made = {
        "class_probability": outputs.class_logits_BK.double().softmax(-1),
        "threshold_db": outputs.threshold_B,
        "exist_probability": outputs.exist_logit_B.double().sigmoid(),
        "latency_ms": outputs.latency_B,
        "amplitude_uv": outputs.amplitude_B,
        "signal": outputs.signal_BT,
    }
    log_variances = {
        "threshold_sd_db": outputs.threshold_log_var_B,
        "latency_sd_ms": outputs.latency_log_var_B,
        "amplitude_sd_uv": outputs.amplitude_log_var_B,
    }
    made |= {name: (0.5 * log_var_B).exp() for name, log_var_B in log_variances.items() if log_var_B is not None}
    if outputs.outlier_logit_B is not None:
        made["threshold_outlier_probability"] = outputs.outlier_logit_B.sigmoid()
    return made
