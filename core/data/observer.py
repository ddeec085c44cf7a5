"""What the noise leaves of a simulated recording's latents, for somebody who sees the recording and nothing else.

The true latents of a recording (`simulated_card`) are more than its waveform shows: a response of 3 nV under 28 nV of
noise has a true latency that no reader can know. Here each latent is given as well as an efficient reader could read
it: with the error that the noise of this very recording enforces (Cramer-Rao, from the Fisher information of the
noise-free waveform in noise of the simulator's spectrum). It errs in the reader's favour: the noise's mean spectrum,
the device's band and the depth of the noise are known to it, no wave is mistaken for another, and drifting spectra,
bursts and mains are left out.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from core.data.noise import PERIOD, SAMPLES, SAMPLING_RATE_HZ, density
from core.data.simulator import waveforms

# N recordings, T samples, P parameters of a waveform

Floats = NDArray[np.float64]

SIZES: Final = {"amplitude_uv": 1e-3, "size_i_uv": 1e-3, "size_iii_uv": 1e-3}
SHAPES: Final = {
    "latency_v_ms": 0.01,
    "latency_iii_ms": 0.01,
    "latency_i_ms": 0.01,
    "width_factor": 0.01,
    "trough": 0.01,
}
"""Parameters of a waveform and the step of their difference quotient; the waveform is linear in the sizes."""
PARAMETERS: Final = (*SIZES, *SHAPES)
VAGUE: Final = 10.0
"""What a recording does not show at all is read with this many times its spread between recordings."""
FLOOR: Final = 1e-5
"""White noise added to the spectrum, as a share of its power: digital recordings have no perfectly empty band."""
AT_ONCE: Final = 2_000


def read_latents(latents: pd.DataFrame, seed: int) -> pd.DataFrame:
    """The latents of the waveforms as an efficient reader reads them off the recordings, one row each.

    Columns are PARAMETERS; the sizes of waves I and III are in microvolts.
    """
    true_NP = _true(latents)
    spread_P = np.maximum(true_NP.std(axis=0), 1e-6)
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(len(PARAMETERS),)))
    normal_NP = rng.standard_normal(true_NP.shape)
    whitening = _whitenings(latents)
    read_NP = np.empty_like(true_NP)
    for first in range(0, len(latents), AT_ONCE):
        rows = slice(first, first + AT_ONCE)
        information = fisher_information(latents.iloc[rows], whitening) * np.multiply.outer(spread_P, spread_P)
        information += np.eye(len(PARAMETERS)) / VAGUE**2
        # With information = L L^T, the inverse of L^T turns white numbers into errors of covariance information^-1.
        factor = np.linalg.cholesky(information).swapaxes(1, 2)
        error_NP = np.linalg.solve(factor, normal_NP[rows, :, None])[..., 0]
        read_NP[rows] = true_NP[rows] + error_NP * spread_P
    return pd.DataFrame(read_NP, columns=list(PARAMETERS))


def fisher_information(
    latents: pd.DataFrame, whitening: dict[tuple[float, float], Floats] | None = None
) -> NDArray[np.float64]:
    """(N, P, P) information on PARAMETERS in a recording, J^T S^-1 J.

    J are the waveform's derivatives, S is the noise's covariance at the recording's own depth and band.
    """
    whitening = _whitenings(latents) if whitening is None else whitening
    slope_NPT = _derivatives(latents)
    band_N2 = latents[["highpass_hz", "lowpass_hz"]].to_numpy(dtype=np.float64)
    for band, white_TT in whitening.items():
        mine_N = (band_N2 == band).all(axis=1)
        slope_NPT[mine_N] = slope_NPT[mine_N] @ white_TT.T
    slope_NPT /= latents["noise_sd_uv"].to_numpy(dtype=np.float64)[:, None, None]
    return np.asarray(slope_NPT @ slope_NPT.swapaxes(1, 2))


def _whitenings(latents: pd.DataFrame) -> dict[tuple[float, float], Floats]:
    """Band -> W (T, T) with W^T W the inverse of the noise's covariance at unit power."""
    frequency = np.asarray(np.fft.rfftfreq(PERIOD, 1 / SAMPLING_RATE_HZ), dtype=np.float64)
    bands = latents[["highpass_hz", "lowpass_hz"]].drop_duplicates().to_numpy(dtype=np.float64)
    found = {}
    for highpass, lowpass in bands.tolist():
        power = density(frequency, np.array([highpass]), np.array([lowpass]))[0]
        lag = np.fft.irfft(power, n=PERIOD)[:SAMPLES]
        lag = (1 - FLOOR) * lag / lag[0]
        covariance_TT = lag[np.abs(np.subtract.outer(np.arange(SAMPLES), np.arange(SAMPLES)))]
        covariance_TT[np.diag_indices(SAMPLES)] += FLOOR
        found[highpass, lowpass] = np.linalg.inv(np.linalg.cholesky(covariance_TT))
    return found


def _true(latents: pd.DataFrame) -> Floats:
    """(N, P) the parameters as they are."""
    amplitude = latents["amplitude_uv"].to_numpy(dtype=np.float64)
    sizes = (amplitude, amplitude * latents["ratio_i"], amplitude * latents["ratio_iii"])
    return np.column_stack([*sizes, latents[list(SHAPES)].to_numpy(dtype=np.float64)])


def _derivatives(latents: pd.DataFrame) -> Floats:
    """(N, P, T) derivatives of the noise-free waveforms by PARAMETERS."""
    only_v = _waveform(latents, amplitude_uv=1.0, ratio_i=0.0, ratio_iii=0.0)
    with_i = _waveform(latents, amplitude_uv=1.0, ratio_i=1.0, ratio_iii=0.0)
    with_iii = _waveform(latents, amplitude_uv=1.0, ratio_i=0.0, ratio_iii=1.0)
    sizes = [only_v, with_i - only_v, with_iii - only_v]
    shapes = [
        (_waveform(latents, **{name: latents[name] + step}) - _waveform(latents, **{name: latents[name] - step}))
        / (2 * step)
        for name, step in SHAPES.items()
    ]
    return np.stack([*sizes, *shapes], axis=1)


def _waveform(latents: pd.DataFrame, **changed: float | pd.Series) -> Floats:
    return waveforms(latents.assign(**changed))[0].astype(np.float64)
