"""Scores of the denoised signal against a noise-free truth, and the filters it has to beat."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.metrics.values import RESOLUTION, Array, Floats, Values, checked, none_of, weighted_mean

# N recordings, T samples, F frequencies

NAMES: Final = ("pearson", "snr_db", "snr_gain_db", "mse")


def signal_metrics(
    predicted_NT: Floats | None,
    truth_NT: Floats | None,
    recorded_NT: Floats,
    weight_N: Array,
) -> Values:
    """All metrics of the group `signal`.

    `pearson` is the mean over recordings whose truth varies; `snr_db` is 10 log10 of the summed power of the truth over
    that of the error, pooled over those recordings, and `snr_gain_db` what it gains over the recording itself;
    `mse` is over all recordings, in the squared unit of the signal.
    """
    if truth_NT is None:
        return none_of(NAMES, "the recordings have no noise-free truth")
    if predicted_NT is None:
        return none_of(NAMES, "no signal is predicted")
    known_N = np.isfinite(truth_NT).all(1)
    if not known_N.any():
        return none_of(NAMES, "the recordings have no noise-free truth")
    if not np.isfinite(predicted_NT[known_N]).all():
        return none_of(NAMES, "predicted signals are not finite")
    return _against(predicted_NT[known_N], truth_NT[known_N], recorded_NT[known_N], weight_N[known_N])


def _against(predicted_NT: Floats, truth_NT: Floats, recorded_NT: Floats, weight_N: Array) -> Values:
    error_N = _power(predicted_NT - truth_NT)
    values = {"mse": weighted_mean(error_N, weight_N)}
    varies_N = varies_in_time(truth_NT)
    if not varies_N.any():
        return checked(values, dict.fromkeys(("pearson", "snr_db", "snr_gain_db"), "no truth of the split varies"))
    weight_N = weight_N[varies_N]
    error = weighted_mean(error_N[varies_N], weight_N)
    absent: dict[str, str] = {}
    if error == 0:
        absent |= dict.fromkeys(("snr_db", "snr_gain_db"), "the prediction equals the truth")
    else:
        values["snr_db"] = 10 * math.log10(weighted_mean(_power(truth_NT[varies_N]), weight_N) / error)
        noise = weighted_mean(_power(recorded_NT[varies_N] - truth_NT[varies_N]), weight_N)
        if noise == 0:
            absent["snr_gain_db"] = "the recordings equal their truth"
        else:
            values["snr_gain_db"] = 10 * math.log10(noise / error)
    flat = int((~varies_in_time(predicted_NT[varies_N])).sum())
    if flat:
        absent["pearson"] = f"{flat} predicted signals are constant"
    else:
        values["pearson"] = weighted_mean(row_pearson(predicted_NT[varies_N], truth_NT[varies_N]), weight_N)
    return checked(values, absent)


def wiener_gain(recorded_NT: Floats, truth_NT: Floats) -> NDArray[np.complex128]:
    """(F,) the gain per frequency with the least squared error on these recordings.

    G(f) = sum Y*(f) X(f) / sum |Y(f)|^2 with spectra Y of the recordings and X of the truth (Wiener 1949).
    """
    recorded_NF, truth_NF = np.fft.rfft(recorded_NT), np.fft.rfft(truth_NT)
    power_F = (np.abs(recorded_NF) ** 2).sum(0)
    cross_F = (recorded_NF.conj() * truth_NF).sum(0)
    return np.asarray(np.divide(cross_F, power_F, out=np.zeros_like(cross_F), where=power_F > 0))


def wiener_filter(gain_F: NDArray[np.complex128], recorded_NT: Floats) -> NDArray[np.float64]:
    """The recordings with every frequency multiplied by its gain."""
    return np.asarray(np.fft.irfft(np.fft.rfft(recorded_NT) * gain_F, n=recorded_NT.shape[1]), dtype=np.float64)


def _power(values_NT: Floats) -> Array:
    return np.asarray(np.mean(np.square(values_NT, dtype=np.float64), axis=1))


def varies_in_time(values_NT: Floats) -> NDArray[np.bool_]:
    """(N,) whether a waveform is more than a constant with rounding errors."""
    return np.asarray(np.ptp(values_NT, axis=1) > RESOLUTION * np.abs(values_NT).max(axis=1))


def row_pearson(a_NT: Floats, b_NT: Floats) -> Array:
    """(N,) correlation of two waveforms that vary, row by row."""
    a_NT = a_NT - a_NT.mean(axis=1, keepdims=True, dtype=np.float64)
    b_NT = b_NT - b_NT.mean(axis=1, keepdims=True, dtype=np.float64)
    return np.asarray((a_NT * b_NT).mean(1) / np.sqrt(_power(a_NT) * _power(b_NT)))
