"""What a clinician writes down about a recording: is wave V visible, when, how large; and the threshold."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

VISIBLE_AT_SNR: Final = 0.8
"""Wave V amplitude over noise sd at which half of the readers see it.

Low, because readers follow the wave down a series and have two replicates; it makes the share of marked waves that of
the clinic (74.6 %)."""
VISIBLE_SLOPE: Final = 0.35
"""Softness of that criterion, in units of ln(SNR)."""
READER_ERROR: Final = 0.015
"""Share of recordings where the mark says the opposite of what the reader would see."""
LATENCY_JITTER_MS: Final = 0.08
"""Readers agree within 0.1 ms on the same peak."""
WRONG_PEAK: Final = 0.05
"""Share of marks set on a later peak: what the clinic's range (4.80-18.47 ms) and spread ask for."""
STRAY_MS: Final = 3.3
"""How much later on average."""
LATEST_MS: Final = 18.47
"""The clinic's latest label: its readers saw 31 ms."""
SEARCH_MS: Final = 0.25
"""How far from its reproducible place a cursor is moved to sit on the highest or lowest point."""
SMALLEST_UV: Final = 0.01
"""Least amplitude anybody writes down."""
AMPLITUDE_JITTER: Final = 0.08
THRESHOLD_LABEL_SD_DB: Final = 8.0
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
    trough_delay_ms: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Latency (ms) and amplitude (uV, peak to following trough) as read from the noisy recording.

    The reader takes the highest point near where wave V stands in both replicates and the lowest point near where the
    trough should follow. Some marks stray to a later peak, even one that lies behind the samples kept here.
    """
    count = len(expected_ms)
    stray = np.where(rng.random(count) < WRONG_PEAK, rng.exponential(STRAY_MS, count), 0.0)
    place = np.minimum(expected_ms + stray, LATEST_MS)
    latency, height = cursors(signal_NT, time_ms, place, trough_delay_ms)
    amplitude = np.maximum(height, SMALLEST_UV) * np.exp(rng.normal(0.0, AMPLITUDE_JITTER, count))
    read = latency + (place - np.minimum(place, _last_place(time_ms))) + rng.normal(0.0, LATENCY_JITTER_MS, count)
    return np.minimum(read, LATEST_MS), amplitude


def cursors(
    signal_NT: NDArray[np.float32],
    time_ms: NDArray[np.float64],
    place_ms: NDArray[np.float64],
    trough_delay_ms: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Time (ms) of the highest point near `place_ms`, and its height above the lowest near where the trough follows."""
    inside = np.minimum(place_ms, _last_place(time_ms))
    peak = np.where(np.abs(time_ms - inside[:, None]) <= SEARCH_MS, signal_NT, -np.inf).argmax(axis=1)
    latency = time_ms[peak]
    follows = np.minimum(latency + trough_delay_ms, _last_place(time_ms))[:, None]
    trough = np.where(np.abs(time_ms - follows) <= SEARCH_MS, signal_NT, np.inf).min(axis=1)
    return latency, signal_NT[np.arange(len(peak)), peak] - trough


def _last_place(time_ms: NDArray[np.float64]) -> float:
    """The latest place that can be looked at in full."""
    return float(time_ms[-1]) - SEARCH_MS


def label_threshold(rng: np.random.Generator, threshold_db: NDArray[np.float64]) -> NDArray[np.float64]:
    """The threshold in the patient's file: the true one with the error of the clinic."""
    return np.clip(threshold_db + rng.normal(0.0, THRESHOLD_LABEL_SD_DB, len(threshold_db)), 0.0, 120.0)
