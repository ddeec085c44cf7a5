"""A trained ABR model as a program of torch's own format, for runtimes that know nothing of this package."""

# B recordings, T samples, S static parameters, K classes.

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from core.data.recordings import STATIC, Recordings
from core.data.tensors import Batch
from core.metrics import Predictions
from core.tasks.abr_calibration import INTERVALS
from core.tasks.abr_prediction import predict
from core.tasks.abr_weights import TrainedModel, load_model, said_of, spoken_of
from core.tasks.task import Exported

TOLERANCE: Final = 1e-4
"""Largest difference between program and model, as a share of the spread of what the model says, or, where it says
nearly the same of all recordings, of a twentieth of its size: single precision knows no more."""
TRIED: Final = 37
"""Recordings the two are compared on: another number than the program was traced with."""
TRACED: Final = 3
MOST: Final = 1 << 20
"""Recordings in one call at most."""


class Program(nn.Module):
    """What `abr_prediction.predict` computes, from tensors: calibrated, the mean over the model's networks."""

    def __init__(self, model: TrainedModel) -> None:
        super().__init__()
        self.networks = nn.ModuleList(model.networks)
        self.temperature = model.about.temperature
        self.widths = dict(model.about.intervals)
        self.spoken = [spoken_of(scaling, model.about.trained) for scaling in model.about.scalings]

    def forward(self, signal_BT: Tensor, static_BS: Tensor) -> dict[str, Tensor]:
        """Recordings (B, T) and their static parameters (B, S), NaN where unknown -> predictions by name."""
        batch = Batch.unlabelled(signal_BT, static_BS)
        each = [
            self._calibrated({name: part for name, part in said_of(network(batch)).items() if name in spoken})
            for network, spoken in zip(self.networks, self.spoken, strict=True)
        ]
        names = [name for name in each[0] if all(name in said for said in each)]
        return {name: torch.stack([said[name] for said in each]).mean(0).float() for name in names}

    def _calibrated(self, said: dict[str, Tensor]) -> dict[str, Tensor]:
        if "class_probability" in said:
            said["class_probability"] = (said["class_probability"].log() / self.temperature).softmax(-1)
        for name, width in self.widths.items():
            if name in said:
                sd = INTERVALS[name].sd
                said[INTERVALS[name].plus_minus] = width * (said[sd] if sd in said else torch.ones_like(said[name]))
        return said


def write_program(weights: Path, to: Path) -> Exported:
    """Write the model in `weights` to `to` (`.pt2`), where the written program says what the model says.

    Raises ValueError when the weights are none of this task's, or the program differs by more than TOLERANCE; then
    nothing is written.
    """
    model = load_model(weights)
    return keep(traced(model), model, to)


def traced(model: TrainedModel) -> torch.export.ExportedProgram:
    """The model's program; the number of recordings is free, their length the model's own."""
    recordings = torch.export.Dim("recordings", min=1, max=MOST)
    example = inputs_like(model, TRACED)
    return torch.export.export(Program(model).eval(), example, dynamic_shapes=({0: recordings}, {0: recordings}))


def keep(program: torch.export.ExportedProgram, model: TrainedModel, to: Path) -> Exported:
    """Write a program where, read again, it says what the model says; raises ValueError where it does not."""
    to.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=to.parent, prefix=".program-") as folder:
        new = Path(folder) / "new.pt2"
        torch.export.save(program, new)
        # What was written a moment ago is nobody else's: torch's loader must not be given a stranger's file.
        difference, names = compared(torch.export.load(new).module(), model)
        if not difference <= TOLERANCE:
            raise ValueError(f"it differs from the model by {difference:.1e} of its spread, more than {TOLERANCE:g}")
        new.replace(to)
    about = model.about
    return Exported(
        inputs={
            "signal": f"(recordings, {about.samples}) in {about.unit} at {about.sampling_rate_hz:g} Hz, stimulus first",
            "static": f"(recordings, {len(STATIC)}): {', '.join(STATIC)}; NaN where unknown",
        },
        outputs=names,
        difference=difference,
        tolerance=TOLERANCE,
    )


def inputs_like(model: TrainedModel, count: int, *, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Random recordings of the size the model knows, with some static parameters unknown."""
    random, scaling = np.random.default_rng(seed), model.about.scalings[0]
    signal_BT = scaling.signal * random.standard_normal((count, model.about.samples))
    static_BS = np.array(scaling.static_mean) + np.array(scaling.static_sd) * random.standard_normal(
        (count, len(STATIC))
    )
    static_BS[random.random(static_BS.shape) < 0.2] = np.nan
    return torch.from_numpy(signal_BT).float(), torch.from_numpy(static_BS).float()


def compared(program: nn.Module, model: TrainedModel) -> tuple[float, Mapping[str, tuple[int, ...]]]:
    """Largest difference in units of each prediction's spread, and name -> shape of one recording's prediction."""
    signal_BT, static_BS = inputs_like(model, TRIED, seed=1)
    with torch.inference_mode():
        said: Mapping[str, Tensor] = program(signal_BT, static_BS)
    expected = predict(model, recordings_of(model, signal_BT, static_BS))
    found = {name: _difference(part.numpy(), expected, name) for name, part in said.items()}
    return max(found.values(), default=0.0), {name: tuple(part.shape[1:]) for name, part in said.items()}


def _difference(said: NDArray[np.float32], expected: Predictions, name: str) -> float:
    """Infinite where the model says nothing of the kind, or one of the two says what is no number."""
    wanted = getattr(expected, name)
    if wanted is None or not (np.isfinite(said).all() and np.isfinite(wanted).all()):
        return float("inf")
    largest = np.abs(said - wanted).max(initial=0.0)
    return float(largest / max(wanted.std(), 0.05 * np.abs(wanted).max(initial=0.0), 1e-9))


def recordings_of(model: TrainedModel, signal_BT: Tensor, static_BS: Tensor) -> Recordings:
    """The inputs of a program as recordings of which nothing else is known."""
    count, unknown = len(signal_BT), np.full(len(signal_BT), np.nan, dtype=np.float32)
    return Recordings(
        signal=signal_BT.numpy(),
        sampling_rate_hz=model.about.sampling_rate_hz,
        unit=model.about.unit,
        patient=np.arange(count).astype(str),
        static=static_BS.numpy(),
        class_names=model.about.class_names,
        hearing_class=np.full(count, -1),
        threshold_db=unknown,
        peak_exist=unknown,
        peak_latency_ms=unknown,
        peak_amplitude_uv=unknown,
        clean=None,
    )
