"""Residual noise of an averaged ABR: what is left of EEG, muscle and mains after averaging N sweeps.

The distribution was taken from real recordings before any model was trained: `benchmarks/fit_noise.py` prints every
constant below from `shared/data` (human click ABRs: differences of independent sub-averages of one subject and level,
resampled to 15 kHz, first 200 samples). Three quiet adults are few subjects: the spread between patients is the least
certain number here. Nothing in the recordings tells mains from other slow activity within 25 ms, so the mains share is
an upper bound: everything the recordings hold around 50 Hz.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

SAMPLING_RATE_HZ: Final = 15_000.0
SAMPLES: Final = 200
PERIOD: Final = 512
"""Length of the synthesised noise; longer than a recording, so that its ends do not join."""

SINGLE_SWEEP_SD_UV: Final = 1.52
"""Median over recordings of residual sd times sqrt(sweeps), in band (100 Hz - 1.5 kHz); sub-averages of 500-2,000."""
PATIENT_LOG_SD: Final = 0.378
"""Spread of ln(sd) between subjects."""
RECORDING_LOG_SD: Final = 0.587
"""Spread of ln(sd) between the recordings of one subject, error of its own estimate removed."""

SPECTRUM: Final = (
    (0.0, -40.0),
    (80.0, -6.8),
    (120.0, -1.5),
    (160.0, 0.0),
    (200.0, -1.4),
    (240.0, -1.9),
    (280.0, -2.6),
    (320.0, -3.3),
    (400.0, -6.0),
    (500.0, -8.4),
    (650.0, -12.6),
    (900.0, -15.9),
    (1200.0, -17.5),
    (1600.0, -19.8),
    (2200.0, -21.1),
    (3000.0, -24.1),
    (7500.0, -40.0),
)
"""Frequency (Hz), power density (dB): geometric mean of the periodograms, mains left out, highest at 0 dB."""
TILT_SD: Final = 0.658
"""Spread between recordings of the exponent k in density x (f / 300 Hz)^k, error of its own estimate removed."""

MAINS_HZ: Final = 50.0
MAINS_POWER_SHARE: Final = 0.0269
"""Mean share of the noise power in the line around 50 Hz (upper bound, see above); exponential over recordings."""

BURST_SHARE: Final = 0.15
"""Share of recordings with a burst: a stretch where the noise is BURST_GAIN times stronger.

The largest share (at this gain) that the recordings do not reject; they would do without. Single sweeps of the mouse
are far from Gaussian (sd 1.8 to 21 uV), but most of that is gone after a thousand sweeps."""
BURST_GAIN: Final = 2.5
BURST_WIDTH_MS: Final = 1.0
"""Standard deviation of the burst's Gaussian envelope."""


def residual_sd_uv(
    rng: np.random.Generator, patient: NDArray[np.int64], sweeps: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Noise sd (N,) in microvolts: patient (N,) indexes who was recorded; falls as 1/sqrt(sweeps)."""
    between = rng.normal(0.0, PATIENT_LOG_SD, int(patient.max()) + 1)[patient]
    within = rng.normal(0.0, RECORDING_LOG_SD, len(patient))
    return np.asarray(SINGLE_SWEEP_SD_UV * np.exp(between + within) / np.sqrt(sweeps))


def density(
    frequency_hz: NDArray[np.float64], highpass_hz: NDArray[np.float64], lowpass_hz: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Relative power density (N, F) at `frequency_hz` (F,) for a device's band (N,).

    The recordings behind SPECTRUM were made at 100 Hz; another corner is applied as a ratio of
    first-order filters. The low-pass is of fourth order, as steep as the recordings of two of the three subjects show.
    """
    knots_hz, knots_db = np.array(SPECTRUM).T
    base = 10 ** (np.interp(frequency_hz, knots_hz, knots_db) / 10)
    square = frequency_hz[None, :] ** 2
    corner = highpass_hz[:, None] ** 2
    lowpass = 1 / (1 + (frequency_hz[None, :] / lowpass_hz[:, None]) ** 8)
    return np.asarray(base * (square + 100.0**2) / (square + corner) * lowpass)


def residual_noise(
    rng: np.random.Generator,
    sd_uv: NDArray[np.float64],
    highpass_hz: NDArray[np.float64],
    lowpass_hz: NDArray[np.float64],
) -> NDArray[np.float32]:
    """Noise waveforms (N, SAMPLES) in microvolts with expected power sd_uv (N,) squared.

    Low-pass Gaussian noise of the measured spectrum with a tilt of its own, sometimes a burst, and a mains line. A
    single recording's sample sd scatters around `sd_uv`, as it does in reality: 13 ms hold few independent values.
    """
    count = len(sd_uv)
    frequency = np.asarray(np.fft.rfftfreq(PERIOD, 1 / SAMPLING_RATE_HZ), dtype=np.float64)
    tilt = (np.maximum(frequency, 60.0) / 300.0)[None, :] ** rng.normal(0.0, TILT_SD, (count, 1))
    power = density(frequency, highpass_hz, lowpass_hz) * np.clip(tilt, 0.05, 20.0)
    power /= power.sum(axis=1, keepdims=True)
    parts = rng.standard_normal((2, count, len(frequency)), dtype=np.float32)
    spectrum = (parts[0] + 1j * parts[1]) * np.sqrt(power).astype(np.float32)
    background = np.fft.irfft(spectrum, n=PERIOD, axis=1)[:, :SAMPLES] * (PERIOD / 2)
    line_share = np.minimum(rng.exponential(MAINS_POWER_SHARE, (count, 1)), 0.5)
    shaped = _with_burst(rng, background) * np.sqrt(1 - line_share) + _mains(rng, count) * np.sqrt(line_share)
    return np.asarray(shaped * sd_uv[:, None], dtype=np.float32)


def _with_burst(rng: np.random.Generator, background_NT: NDArray[np.float64]) -> NDArray[np.float64]:
    """Some recordings get a stretch of stronger noise; the power averaged over the window stays what it was."""
    count, samples = background_NT.shape
    time = np.arange(samples) * 1000.0 / SAMPLING_RATE_HZ
    centre = rng.uniform(0.0, time[-1], (count, 1))
    has_burst = rng.random((count, 1)) < BURST_SHARE
    gain = 1 + has_burst * (BURST_GAIN - 1) * np.exp(-0.5 * ((time - centre) / BURST_WIDTH_MS) ** 2)
    return np.asarray(background_NT * gain / np.sqrt((gain**2).mean(axis=1, keepdims=True)))


def _mains(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    """A sine of unit power at the mains frequency and a phase of its own for each recording."""
    time = np.arange(SAMPLES) / SAMPLING_RATE_HZ
    phase = rng.uniform(0.0, 2 * np.pi, (count, 1))
    return np.asarray(np.sqrt(2.0) * np.sin(2 * np.pi * MAINS_HZ * time + phase))
