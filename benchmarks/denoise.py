"""The denoiser on real noise: python benchmarks/denoise.py [--recordings ../shared/data] [--to FILE]

Simulated noise-free responses of patients never trained on, with the residual noise of real recordings on them (three
adults; `fit_noise.human_residuals`): only so are both the truth known and the noise real. The network was trained on
simulated noise, whose statistics were fitted to these recordings; the waveforms themselves it has never seen. It is
compared with the recording as it is and with Wiener filters.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

ROOT: Final = Path(__file__).parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from benchmarks.checks import Check, Measured  # noqa: E402
from benchmarks.fit_noise import human_residuals  # noqa: E402
from benchmarks.generation import OTHER_SEED, TRAIN, generator  # noqa: E402
from core.data.noise import SAMPLES  # noqa: E402
from core.data.recordings import Recordings  # noqa: E402
from core.data.simulator import simulate_split  # noqa: E402
from core.data.tensors import as_batch  # noqa: E402
from core.generation import sampled_denoising  # noqa: E402
from core.metrics.signal import signal_metrics, wiener_filter, wiener_gain  # noqa: E402
from core.tasks.abr_prediction import predict  # noqa: E402
from core.tasks.abr_weights import TrainedModel  # noqa: E402

SHARED: Final = ROOT.parent / "shared" / "data"
COUNT: Final = 2_000
"""Responses that noise is laid on."""
SEED: Final = 7
RESAMPLED: Final = 1_000
"""Draws of patients behind the interval."""

Waves = NDArray[np.floating]


def with_real_noise(recordings: Recordings, noise_NT: Waves, seed: int) -> Recordings:
    """The noise-free responses with a real residual on each, as large as it was recorded."""
    assert recordings.clean is not None
    row_N = np.random.default_rng(seed).integers(len(noise_NT), size=len(recordings))
    signal = recordings.clean + noise_NT[row_N, :SAMPLES]
    return replace(recordings, signal=signal.astype(np.float32))


def denoised(model: TrainedModel, recordings: Recordings) -> dict[str, Waves]:
    """Name -> what is made of the recordings; Wiener filters are fitted on what the name says."""
    train = simulate_split("train", TRAIN, SEED)[0]
    assert train.clean is not None
    assert recordings.clean is not None
    signal = recordings.signal.astype(np.float64)
    expected = predict(model, recordings).signal
    assert expected is not None
    network = model.networks[0]
    sampled = sampled_denoising(network, as_batch(recordings), generator=torch.Generator().manual_seed(SEED))
    return {
        "recording itself": signal,
        "Wiener, fitted on the training split": wiener_filter(wiener_gain(train.signal, train.clean), signal),
        "Wiener, fitted on these very recordings": wiener_filter(wiener_gain(signal, recordings.clean), signal),
        "network, a sample of what may lie behind": sampled.numpy(),
        "network, expected response": expected,
    }


@dataclass(frozen=True, slots=True)
class Gain:
    """How much better one is than another, in dB of pooled error power."""

    value: float
    low: float
    high: float


def gain_over(error_N: Waves, other_N: Waves, patient_N: NDArray[np.str_], seed: int = 0) -> Gain:
    """10 log10 of the ratio of summed error powers, with a 95 % interval over patients."""
    _, index_N = np.unique(patient_N, return_inverse=True)
    sums_2P = np.stack([np.bincount(index_N, power) for power in (other_N, error_N)])
    draw_RP = np.random.default_rng(seed).multinomial(
        sums_2P.shape[1], np.full(sums_2P.shape[1], 1 / sums_2P.shape[1]), RESAMPLED
    )
    above, below = draw_RP @ sums_2P.T[:, 0], draw_RP @ sums_2P.T[:, 1]
    low, high = np.quantile(10 * np.log10(above / below), (0.025, 0.975))
    return Gain(float(10 * np.log10(sums_2P[0].sum() / sums_2P[1].sum())), float(low), float(high))


def denoises_real_noise(folder: Path = SHARED) -> Measured:
    """Whether the expected response beats both Wiener filters in correlation and, over patients, in SNR."""
    if not (folder / "ihs_human").is_dir():
        return Measured(True, f"skipped: there are no recordings at {folder}")
    residuals = human_residuals(folder)
    recordings = with_real_noise(simulate_split("test", COUNT, OTHER_SEED)[0], residuals.wave_NT, SEED)
    assert recordings.clean is not None
    model, _ = generator()
    made = denoised(model, recordings)
    weight_N = np.ones(len(recordings))
    scores = {name: signal_metrics(w, recordings.clean, recordings.signal, weight_N).values for name, w in made.items()}
    power = {name: np.square(wave - recordings.clean).mean(1) for name, wave in made.items()}
    *others, ours = made
    lines, holds = [], True
    for name, score in scores.items():
        line = f"{name}: correlation {score['pearson']:.3f}, SNR {score['snr_db']:.2f} dB"
        if name != "recording itself":
            line += f", gain {score['snr_gain_db']:.2f} dB"
        if name in others:
            gain = gain_over(power[ours], power[name], recordings.patient)
            line += f"; the expected response is {gain.value:.2f} dB better ({gain.low:.2f} to {gain.high:.2f})"
            holds = holds and gain.low > 0 and scores[ours]["pearson"] > score["pearson"]
        lines.append(line)
    head = f"{len(recordings):,} simulated responses, {len(residuals.wave_NT)} residuals of three adults"
    return Measured(holds, "\n".join([head, *lines]))


CHECKS: Final[Mapping[str, Check]] = {"denoises-real-noise": denoises_real_noise}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--recordings", type=Path, default=SHARED, help="the folder that holds ihs_human")
    parser.add_argument("--to", type=Path, help="also write what is printed to this file")
    arguments = parser.parse_args()
    measured = denoises_real_noise(arguments.recordings)
    text = f"{'ok  ' if measured.holds else 'FAIL'} denoises-real-noise: {measured.text}"
    print(text)
    if arguments.to is not None:
        arguments.to.write_text(text + "\n", encoding="utf-8")
    sys.exit(0 if measured.holds else 1)


if __name__ == "__main__":
    main()
