"""Generated recordings beside simulated ones: python benchmarks/generation.py [--to FILE]

A small generator is trained on simulated recordings (minutes on one core); what it draws is held against recordings
that the simulator makes with another seed. Compared are class shares, how often wave V is visible, the
latency-intensity relation of the labels and of the peaks in the signals themselves, their size, and their spectra. Both
sides are noise-free.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

ROOT: Final = Path(__file__).parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from benchmarks.checks import Check, Measured  # noqa: E402
from core.data.cohort import CLASS_NAMES  # noqa: E402
from core.data.noise import SAMPLING_RATE_HZ  # noqa: E402
from core.data.recordings import Recordings  # noqa: E402
from core.data.simulator import simulate_split  # noqa: E402
from core.generation import Generated, generate_joint  # noqa: E402
from core.models.joint import LATENCY, LEVEL, Parameters, values_of  # noqa: E402
from core.tasks.abr import AbrTask  # noqa: E402
from core.tasks.abr_options import AbrOptions, SimulatedData  # noqa: E402
from core.tasks.abr_weights import TrainedModel, load_model  # noqa: E402

TRAIN: Final = 6_000
"""Simulated recordings the generator is trained on."""
COUNT: Final = 4_000
"""Recordings drawn from the generator."""
COMPARED: Final = 20_000
"""Simulated recordings they are compared with: so many that the patients among them hardly matter."""
OTHER_SEED: Final = 4_242
"""Of the simulated recordings compared with: other patients than those trained on."""
SETTINGS: Final[Mapping[str, Any]] = {
    "epochs": 30,
    "ema": {"decay": 0.995},
    "optimizer": {"lr": 4e-3},
    "model": {
        # FMP is computed from the recording: it would have to be computed anew for recordings with other noise.
        "inputs": ["signal", "age", "intensity", "rate"],
        "dropout": 0.0,
        "diffusion": {"enabled": True, "drop_recording": 0.75, "drop_labels": 0.05},
    },
    "loss": {"weights": {"class": 0, "threshold": 0, "peak_exist": 0, "peak_latency": 0, "peak_amplitude": 0}},
}
LEVELS_DB: Final = ((10, 30), (30, 50), (50, 70), (70, 90))
"""Intensities between which the latency-intensity relation is compared."""
BANDS_HZ: Final = ((0, 150), (150, 300), (300, 600), (600, 1200))
PEAK_MS: Final = (4.8, 12.5)
"""Where the largest peak of a signal is looked for."""

Doubles = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Side:
    """Noise-free signals and what stands beside them."""

    signal: Doubles
    hearing_class: NDArray[np.int64]
    seen: NDArray[np.bool_]
    level: Doubles
    latency: Doubles

    @classmethod
    def generated(cls, drawn: Generated) -> Side:
        """What a model drew."""
        return cls._of(drawn.signal, drawn.parameters)

    @classmethod
    def simulated(cls, table: Recordings) -> Side:
        """What the simulator made."""
        assert table.clean is not None
        parameters = Parameters(
            hearing_class=table.hearing_class,
            peak_exist=table.peak_exist.astype(np.float64),
            values=values_of(table),
        )
        return cls._of(table.clean, parameters)

    @classmethod
    def _of(cls, signal: NDArray[np.float32], parameters: Parameters) -> Side:
        return cls(
            signal=signal.astype(np.float64),
            hearing_class=parameters.hearing_class,
            seen=parameters.peak_exist > 0.5,
            level=parameters.values[:, LEVEL],
            latency=parameters.values[:, LATENCY],
        )

    def peak_ms(self) -> Doubles:
        """(N,) where each signal is largest: its wave V, as far as it has one."""
        time = np.arange(self.signal.shape[1]) * 1000.0 / SAMPLING_RATE_HZ
        inside = (time >= PEAK_MS[0]) & (time <= PEAK_MS[1])
        return np.asarray(time[inside][self.signal[:, inside].argmax(1)])

    def by_level(self, value_N: Doubles) -> Doubles:
        """Median of a number over the recordings with visible wave V in each stretch of levels."""
        stretches = [self.seen & (self.level >= low) & (self.level < high) for low, high in LEVELS_DB]
        return np.array([np.median(value_N[here]) for here in stretches])

    def rms_by_level(self) -> Doubles:
        """Root mean square of the signals with visible wave V in each stretch of levels."""
        power_N = np.square(self.signal).mean(1)
        stretches = [self.seen & (self.level >= low) & (self.level < high) for low, high in LEVELS_DB]
        return np.array([np.sqrt(power_N[here].mean()) for here in stretches])

    def bands_db(self) -> Doubles:
        """Mean power of the signals in each band, in dB."""
        frequency = np.fft.rfftfreq(self.signal.shape[1], 1 / SAMPLING_RATE_HZ)
        power = np.square(np.abs(np.fft.rfft(self.signal * np.hanning(self.signal.shape[1])))).mean(0)
        sums = [power[(frequency >= low) & (frequency < high)].sum() for low, high in BANDS_HZ]
        return np.asarray(10 * np.log10(sums))


@dataclass(frozen=True, slots=True)
class Statistic:
    """One statistic of both sides and how far apart they may be."""

    name: str
    measure: Callable[[Side], Doubles]
    tolerance: float
    relative: bool = False
    unit: str = ""

    def compare(self, made: Side, simulated: Side) -> tuple[bool, str]:
        """Whether they agree, and the numbers."""
        ours, theirs = self.measure(made), self.measure(simulated)
        gap = np.abs(ours - theirs) / (np.abs(theirs) if self.relative else 1.0)
        allowed = f"{self.tolerance:.0%}" if self.relative else f"{self.tolerance:g} {self.unit}".strip()
        shown = f"generated {_row(ours)}, simulated {_row(theirs)}: at most {gap.max():.3g} apart, {allowed} allowed"
        return bool(np.all(gap <= self.tolerance)), f"{self.name}: {shown}"


def _row(values: Doubles) -> str:
    return " ".join(f"{value:.3g}" for value in values)


def _shares(side: Side) -> Doubles:
    return np.bincount(side.hearing_class, minlength=len(CLASS_NAMES)) / len(side.hearing_class)


def _slope(side: Side) -> Doubles:
    """Milliseconds that peaks come earlier per 10 dB, from 20 to 80 dB nHL."""
    here = side.seen & (side.level >= 20) & (side.level <= 80)
    return np.array([-10 * np.polyfit(side.level[here], side.peak_ms()[here], 1)[0]])


def _off_label(side: Side) -> Doubles:
    """Median distance of a signal's peak from its latency label, among labels that lie within it."""
    here = side.seen & (side.latency <= PEAK_MS[1])
    return np.array([np.median(np.abs(side.peak_ms() - side.latency)[here])])


STATISTICS: Final = (
    Statistic("class shares", _shares, 0.02),
    Statistic("wave V visible, share", lambda side: np.array([side.seen.mean()]), 0.04),
    Statistic("latency labels by level", lambda side: side.by_level(side.latency), 0.35, unit="ms"),
    Statistic("peaks of the signals by level", lambda side: side.by_level(side.peak_ms()), 0.5, unit="ms"),
    Statistic("peaks earlier by, in 10 dB", _slope, 0.25, relative=True),
    Statistic("peaks off their labels", _off_label, 0.5, unit="ms"),
    Statistic("size by level (rms, uV)", Side.rms_by_level, 0.25, relative=True),
    Statistic("spectrum by band", Side.bands_db, 2.0, unit="dB"),
)
"""What is compared, and the tolerances: written down after a first look at a trained model, not moved since."""


@cache
def generator() -> tuple[TrainedModel, float]:
    """A model trained with SETTINGS on simulated recordings, and the seconds that took."""
    task, began = AbrTask(), time.perf_counter()
    data = task.load(SimulatedData(train=TRAIN, val=500, test=500), folder=Path())
    with tempfile.TemporaryDirectory() as folder:
        reports = list(task.train(AbrOptions.model_validate(SETTINGS), seed=1, checkpoint=Path(folder), data=data))
        model = load_model(Path(folder) / f"epoch-{reports[-1].epoch:06d}" / "model.safetensors")
    return model, time.perf_counter() - began


def generated_like_simulated() -> Measured:
    """Whether every statistic of generated recordings lies within its tolerance of the simulator's."""
    model, seconds = generator()
    made = Side.generated(generate_joint(model, COUNT, seed=1))
    simulated = Side.simulated(simulate_split("train", COMPARED, OTHER_SEED)[0])
    found = [statistic.compare(made, simulated) for statistic in STATISTICS]
    lines = [f"{'ok  ' if holds else 'off '} {text}" for holds, text in found]
    head = (
        f"{sum(holds for holds, _ in found)} of {len(found)} statistics agree ({COUNT:,} recordings; {seconds:.0f} s)"
    )
    return Measured(all(holds for holds, _ in found), "\n".join([head, *lines]))


def generation_is_deterministic() -> Measured:
    """Whether DDIM with eta 0 gives the same bits for the same seed, and others for another."""
    model, _ = generator()
    first, again, other = (generate_joint(model, 64, seed=seed).signal for seed in (1, 1, 2))
    same, differs = np.array_equal(first, again), not np.array_equal(first, other)
    return Measured(
        same and differs, f"the same seed: {'bit-equal' if same else 'not equal'}; another: differs {differs}"
    )


CHECKS: Final[Mapping[str, Check]] = {
    "generated-like-simulated": generated_like_simulated,
    "generation-deterministic": generation_is_deterministic,
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--to", type=Path, help="also write what is printed to this file")
    to: Path | None = parser.parse_args().to
    measured = {name: check() for name, check in CHECKS.items()}
    text = "\n".join(f"{'ok  ' if each.holds else 'FAIL'} {name}: {each.text}" for name, each in measured.items())
    print(text)
    if to is not None:
        to.write_text(text + "\n", encoding="utf-8")
    sys.exit(0 if all(each.holds for each in measured.values()) else 1)


if __name__ == "__main__":
    main()
