"""What a clinician writes down about a recording: is wave V visible, when, how large; and the threshold."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

VISIBLE_AT_SNR: Final = 1.7
"""Wave V amplitude over noise sd at which half of the readers see it."""
VISIBLE_SLOPE: Final = 0.35
"""Softness of that criterion, in units of ln(SNR)."""
READER_ERROR: Final = 0.015
"""Share of recordings where the mark says the opposite of what the reader would see."""
LATENCY_JITTER_MS: Final = 0.08
"""Readers agree within 0.1 ms on the same peak."""
WRONG_PEAK: Final = 0.02
"""Share of marks set on another positive peak near by."""
AMPLITUDE_JITTER: Final = 0.08
THRESHOLD_LABEL_SD_DB: Final = 6.5
"""Error of a clinical ABR threshold, 5-8 dB."""


def sees_wave_v(
    rng: np.random.Generator, amplitude_uv: NDArray[np.float64], noise_sd_uv: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Whether the reader marks a wave V (N,): a soft criterion on amplitude over noise, and plain mistakes."""
    snr = np.maximum(amplitude_uv / noise_sd_uv, 1e-6)
    visible = 1 / (1 + (VISIBLE_AT_SNR / snr) ** (1 / VISIBLE_SLOPE))
    return (rng.random(len(snr)) < visible) ^ (rng.random(len(snr)) < READER_ERROR)


def read_wave_v(
    rng: np.random.Generator,
    signal_NT: NDArray[np.float32],
    time_ms: NDArray[np.float64],
    expected_ms: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Latency (ms) and amplitude (uV, peak to following trough) as read from the noisy recording.

    The reader takes the highest point near where wave V is expected, now and then of a wider stretch, and the lowest
    point of the 4 ms that follow.
    """
    count = len(expected_ms)
    reach = np.where(rng.random(count) < WRONG_PEAK, 3.0, 0.7)[:, None]
    near = np.abs(time_ms - expected_ms[:, None]) <= reach
    peak = np.where(near, signal_NT, -np.inf).argmax(axis=1)
    latency = time_ms[peak]
    after = (time_ms >= latency[:, None]) & (time_ms <= latency[:, None] + 4.0)
    trough = np.where(after, signal_NT, np.inf).min(axis=1)
    amplitude = (signal_NT[np.arange(count), peak] - trough) * np.exp(rng.normal(0.0, AMPLITUDE_JITTER, count))
    return latency + rng.normal(0.0, LATENCY_JITTER_MS, count), amplitude


def label_threshold(rng: np.random.Generator, threshold_db: NDArray[np.float64]) -> NDArray[np.float64]:
    """The threshold in the patient's file: the true one with the error of the clinic."""
    return np.clip(threshold_db + rng.normal(0.0, THRESHOLD_LABEL_SD_DB, len(threshold_db)), 0.0, 120.0)
