"""Trained ABR networks as a file that needs nothing beside it: weights, and a description in the header."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, TypeAdapter
from safetensors import SafetensorError, safe_open

from core.data.check import MOST_CLASSES, MOST_SAMPLES, is_name
from core.data.recordings import STATIC, Recordings, SignalUnit
from core.data.scaling import Scaling
from core.data.tensors import Batch
from core.metrics import Predictions, weights_of
from core.models.network import AbrNetwork, build_network
from core.tasks.abr_options import AbrOptions, Term
from core.training.checkpoint import ABOUT

CHUNK: Final = 512
"""Recordings per forward pass outside training."""
LEVEL: Final = 0.9
"""Share of recordings the stored intervals should cover."""
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
    """`threshold_db`, `latency_ms`, `amplitude_uv` -> half-width that covers LEVEL of the validation recordings."""

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
        raise ValueError(f"{path} holds no trained ABR model: {_first_line(damage)}") from damage


def _network(file: Any, about: About, fold: int) -> AbrNetwork:
    """The network of one fold; of the file only tensors of the right shape are read, however large it says it is."""
    network = network_for(about.options, about.scalings[fold], about)
    prefix = f"fold{fold}."
    there = {name.removeprefix(prefix) for name in file.keys() if name.startswith(prefix)}  # noqa: SIM118 - no mapping
    wanted = network.state_dict()
    if there != set(wanted):
        raise ValueError(f"the names of its tensors are not those of such a network: {min(there ^ set(wanted))}")
    read = {}
    for name, parameter in wanted.items():
        shape = file.get_slice(prefix + name).get_shape()
        if list(parameter.shape) != shape:
            raise ValueError(f"{prefix}{name} has the shape {shape}, not {list(parameter.shape)}")
        read[name] = file.get_tensor(prefix + name)
        # The bounds of a head without labels are no numbers in the network either.
        if read[name].is_complex() or (parameter.isfinite().all() and not read[name].isfinite().all()):
            raise ValueError(f"{prefix}{name} holds what is no number")
    network.load_state_dict(read)
    return network.eval()


def _first_line(damage: Exception) -> str:
    lines = [line.strip() for line in str(damage).splitlines() if line.strip()]
    return "; ".join(lines[:3]) or type(damage).__name__


def network_for(options: AbrOptions, scaling: Scaling, shape: About | Recordings) -> AbrNetwork:
    """An untrained network for recordings like those of `shape`."""
    return build_network(
        options.model,
        scaling,
        samples=shape.samples,
        sampling_rate_hz=shape.sampling_rate_hz,
        num_classes=len(shape.class_names),
    )


TERM_OF: Final[Mapping[str, Term]] = {
    "class_probability": "class",
    "threshold_db": "threshold",
    "exist_probability": "peak_exist",
    "latency_ms": "peak_latency",
    "amplitude_uv": "peak_amplitude",
    "signal": "signal",
}
"""Part of the predictions -> the term that trains its head."""


def predictions(network: AbrNetwork, scaling: Scaling, batch: Batch, *, trained: Collection[Term]) -> Predictions:
    """What a network says of recordings; heads of terms that are not `trained` stay silent."""
    network.eval()
    rows: dict[str, list[torch.Tensor]] = {}
    with torch.inference_mode():
        for index in torch.arange(len(batch), device=batch.device).split(CHUNK):  # type: ignore[no-untyped-call]
            outputs = network(batch.take(index))
            made = {
                "class_probability": outputs.class_logits_BK.double().softmax(-1),
                "threshold_db": outputs.threshold_B,
                "exist_probability": outputs.exist_logit_B.double().sigmoid(),
                "latency_ms": outputs.latency_B,
                "amplitude_uv": outputs.amplitude_B,
                "signal": outputs.signal_BT,
            }
            for name, part in made.items():
                rows.setdefault(name, []).append(part)
    silent = {
        "threshold_db": scaling.threshold is None,
        "latency_ms": scaling.latency is None,
        "amplitude_uv": scaling.amplitude is None,
        "signal": scaling.clean is None,
    }
    spoken = {name for name in rows if TERM_OF[name] in trained and not silent.get(name, False)}
    return Predictions(**{name: torch.cat(rows[name]).cpu().numpy() if name in spoken else None for name in rows})


def intervals(said: Predictions, recordings: Recordings) -> dict[str, float]:
    """Half-widths of symmetric LEVEL intervals from the absolute errors on recordings held out from training.

    The quantile is the one of split conformal prediction (Lei et al. 2018, 1604.04173): at least (1 + 1/n) LEVEL of
    the weight lies within, or the largest error where n is too small for that.
    """
    weight_N = weights_of(recordings)
    pairs = {
        "threshold_db": (said.threshold_db, recordings.threshold_db),
        "latency_ms": (said.latency_ms, recordings.peak_latency_ms),
        "amplitude_uv": (said.amplitude_uv, recordings.peak_amplitude_uv),
    }
    found = {}
    for name, (predicted_N, truth_N) in pairs.items():
        if predicted_N is None:
            continue
        error_N = np.abs(predicted_N.astype(np.float64) - truth_N)
        known_N = np.isfinite(error_N)
        if known_N.any():
            found[name] = _quantile(error_N[known_N], weight_N[known_N])
    return found


def _quantile(error_N: NDArray[np.float64], weight_N: NDArray[np.float64]) -> float:
    order = np.argsort(error_N)
    share_N = np.cumsum(weight_N[order]) / np.sum(weight_N)
    rank = int(np.searchsorted(share_N, min(1.0, LEVEL * (1 + 1 / len(order))) - 1e-12))
    return float(error_N[order][min(rank, len(order) - 1)])
