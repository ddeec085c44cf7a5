"""Prints the constants of core/data/noise.py from real recordings: python benchmarks/fit_noise.py [../shared/data]

Human click ABRs (IHS, three adults): sub-averages 0-2, 3-5 and 9-11 of a subject and level are independent averages of
500, 1,000 and 2,000 sweeps of the same response, so what differs between them is residual noise. Single sweeps of a
mouse check the law 1/sqrt(sweeps) and show how much heavier than Gaussian single sweeps are. Where an estimate has
an error of its own (13 ms hold few independent values), the same estimator is applied to noise drawn from the model and
its spread is subtracted.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import numpy as np
from scipy import signal, stats

from core.data import noise

ROOT = Path(__file__).parents[1]
INDEPENDENT = {500: (0, 1, 2), 1000: (3, 4, 5), 2000: (9, 10, 11)}
RATE = noise.SAMPLING_RATE_HZ
WINDOW = slice(0, noise.SAMPLES)
OUT_OF_BAND_DB = -40.0
BURST_GAIN = 2.5
KNOTS_HZ = (80, 120, 160, 200, 240, 280, 320, 400, 500, 650, 900, 1200, 1600, 2200, 3000)


@dataclass(frozen=True)
class Residuals:
    """Residual noise of sub-averages: three rows in a row belong to one subject, level and number of sweeps."""

    wave_NT: np.ndarray
    subject_N: np.ndarray
    sweeps_N: np.ndarray

    @property
    def sd_of_triples(self) -> np.ndarray:
        """Residual sd (uV) of each subject, level and number of sweeps."""
        return np.sqrt((self.wave_NT[:, WINDOW] ** 2).reshape(-1, 3 * noise.SAMPLES).mean(axis=1))


def human_residuals(folder: Path) -> Residuals:
    """Deviations of independent sub-averages from their mean, scaled to the variance of one of them."""
    file = np.load(folder / "ihs_human" / "human_ihs_abr.npz", allow_pickle=False)
    wave = signal.resample_poly(file["waveform_uV"].astype(float), 3, 4, axis=1)
    rows, subjects, sweeps = [], [], []
    for count, indices in INDEPENDENT.items():
        for subject in np.unique(file["subject"]):
            for level in np.unique(file["level_dB"][file["subject"] == subject]):
                here = (file["subject"] == subject) & (file["level_dB"] == level)
                three = np.concatenate([wave[here & (file["subavg_index"] == index)] for index in indices])
                rows.append((three - three.mean(axis=0)) * np.sqrt(3 / 2))
                subjects += [subject] * 3
                sweeps += [count] * 3
    return Residuals(np.concatenate(rows), np.array(subjects), np.array(sweeps))


def in_triples(wave_NT: np.ndarray) -> np.ndarray:
    """The estimator of `human_residuals` applied to model noise: rows in threes, deviations from their mean."""
    three = wave_NT.reshape(-1, 3, wave_NT.shape[1])
    return ((three - three.mean(axis=1, keepdims=True)) * np.sqrt(3 / 2)).reshape(wave_NT.shape)


def model_noise(count: int, samples: int = noise.SAMPLES, **constants: object) -> np.ndarray:
    """Noise of sd 1 from the model with some constants replaced, a third of it wide-band as in the recordings."""
    lowpass = np.where(np.arange(count) < count // 9 * 3, 3000.0, 1500.0)
    with patch.multiple(noise, SAMPLES=samples, **constants):
        rng = np.random.default_rng(0)
        return noise.residual_noise(rng, np.ones(count), np.full(count, 100.0), lowpass).astype(float)


def spread_of_log_sd(residuals: Residuals, **constants: object) -> dict[str, float]:
    """Median single-sweep-equivalent sd, and ln(sd) split into subjects, recordings and the estimator's own error."""
    log_sd = np.log(residuals.sd_of_triples) + 0.5 * np.log(residuals.sweeps_N[::3])
    subject = residuals.subject_N[::3]
    means = [log_sd[subject == who].mean() for who in np.unique(subject)]
    within = np.mean([log_sd[subject == who].var(ddof=1) for who in np.unique(subject)])
    drawn = in_triples(model_noise(3000, **constants))
    own_error = np.log(np.sqrt((drawn**2).reshape(-1, 3 * noise.SAMPLES).mean(axis=1))).var()
    return {
        "SINGLE_SWEEP_SD_UV": float(np.exp(np.median(log_sd))),
        "PATIENT_LOG_SD": float(np.std(means, ddof=1)),
        "RECORDING_LOG_SD": float(np.sqrt(within - own_error)),
    }


def typical_density(wave_NT: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Frequency and geometric mean of the periodograms: what a recording without a tilt of its own looks like."""
    frequency, power = signal.periodogram(wave_NT, RATE, window="hann", detrend=False)
    relative = power / power.sum(axis=1, keepdims=True)
    return frequency, np.exp(np.log(relative + 1e-30).mean(axis=0))


def spectrum_knots(residuals: Residuals) -> tuple[tuple[float, float], ...]:
    """(Hz, dB) of the typical density averaged around each knot, highest at 0 dB; what lies below is left to mains.

    Two of the subjects were recorded with a low-pass at 1.5 kHz: above 1 kHz only the others count, joined at 1 kHz.
    """
    wide = np.isin(residuals.subject_N, wide_band_subjects(residuals))
    frequency, every = typical_density(residuals.wave_NT)
    _, upper = typical_density(residuals.wave_NT[wide])
    joint = (frequency > 800) & (frequency < 1200)
    power = np.where(frequency <= 1000, every, upper * every[joint].mean() / upper[joint].mean())
    decibel = [10 * np.log10(power[np.abs(frequency - hz) <= max(25.0, 0.12 * hz)].mean()) for hz in KNOTS_HZ]
    knots = [(float(hz), round(float(db - max(decibel)), 1)) for hz, db in zip(KNOTS_HZ, decibel, strict=True)]
    return ((0.0, OUT_OF_BAND_DB), *knots, (RATE / 2, OUT_OF_BAND_DB))


def wide_band_subjects(residuals: Residuals) -> list[int]:
    """Subjects whose recordings hold power above 2 kHz."""
    who = np.unique(residuals.subject_N)
    return [int(w) for w in who if share_between(residuals.wave_NT[residuals.subject_N == w], 2000, 7500) > 0.01]


def share_between(wave_NT: np.ndarray, low_hz: float, high_hz: float) -> np.ndarray:
    """Mean over recordings of the share of power in a band."""
    frequency, power = signal.periodogram(wave_NT, RATE, window="hann", detrend=False)
    band = (frequency >= low_hz) & (frequency <= high_hz)
    return np.array((power[:, band].sum(axis=1) / power.sum(axis=1)).mean())


def slopes(wave_NT: np.ndarray) -> np.ndarray:
    """Exponent of a power law fitted to each recording's periodogram from 150 to 1,000 Hz."""
    frequency, power = signal.periodogram(wave_NT, RATE, window="hann", detrend=False)
    band = (frequency >= 150) & (frequency <= 1000)
    return np.polyfit(np.log(frequency[band]), np.log(power[:, band] + 1e-30).T, 1)[0]


def strongest_stretch(wave_NT: np.ndarray) -> np.ndarray:
    """Strongest over median sd of the ten stretches of each recording's first 13.3 ms."""
    stretch = wave_NT[:, WINDOW].reshape(len(wave_NT), 10, -1)
    sd = np.sqrt((stretch**2).mean(axis=2))
    return sd.max(axis=1) / np.median(sd, axis=1)


def strongest_bursts(wave_NT: np.ndarray, **constants: object) -> tuple[float, float]:
    """Largest (share, gain) of bursts that the recordings do not reject (Kolmogorov-Smirnov at .05).

    They do not ask for any: their strongest stretches are those of steady noise. Bursts are modelled nevertheless, as
    three sleeping adults show few of them, at the most that these recordings allow.
    """
    real = strongest_stretch(wave_NT)
    allowed = [(0.0, 1.0)]
    for share in (0.05, 0.1, 0.15, 0.2, 0.3):
        drawn = strongest_stretch(in_triples(model_noise(6000, BURST_SHARE=share, BURST_GAIN=BURST_GAIN, **constants)))
        if stats.ks_2samp(real, drawn).pvalue > 0.05:
            allowed.append((share, BURST_GAIN))
    return allowed[-1]


def fit(residuals: Residuals) -> dict[str, object]:
    """Constants of the noise model, in the order in which each needs the ones before."""
    wave = residuals.wave_NT
    spectral = {"SPECTRUM": spectrum_knots(residuals), "MAINS_POWER_SHARE": float(share_between(wave, 20.0, 60.0))}
    steady = in_triples(model_noise(3000, wave.shape[1], TILT_SD=0.0, BURST_SHARE=0.0, **spectral))
    spectral["TILT_SD"] = float(np.sqrt(max(slopes(wave).var() - slopes(steady).var(), 0.0)))
    share, gain = strongest_bursts(wave, **spectral)
    bursts = {"BURST_SHARE": share, "BURST_GAIN": gain}
    return {**spread_of_log_sd(residuals, **spectral, **bursts), **spectral, **bursts}


def check_against_recordings(residuals: Residuals) -> None:
    """Prints what was fitted and what was not, recordings beside model."""
    rng = np.random.default_rng(1)
    sd = noise.residual_sd_uv(rng, np.arange(9000) % 300, rng.choice(list(INDEPENDENT), 9000).astype(float))
    drawn = model_noise(9000) * sd[:, None]
    real = residuals.wave_NT[:, WINDOW]
    print("\ncheck, recordings | model (500 to 2,000 sweeps alike)")
    for name, measure in CHECKS.items():
        left, right = measure(real), measure(drawn)
        print(f"  {name:38s} {np.array2string(left, precision=3):>34s} | {np.array2string(right, precision=3)}")


def autocorrelation(wave_NT: np.ndarray) -> np.ndarray:
    """Quantiles .05, .5, .95 over recordings of the lag-1 autocorrelation."""
    one = (wave_NT[:, 1:] * wave_NT[:, :-1]).sum(axis=1) / (wave_NT**2).sum(axis=1)
    return np.quantile(one, (0.05, 0.5, 0.95))


CHECKS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "sd, quantiles .05 .5 .95 (nV)": lambda wave: np.quantile(wave.std(axis=1) * 1e3, (0.05, 0.5, 0.95)),
    "lag-1 autocorrelation": autocorrelation,
    "share of power below 600 Hz": lambda wave: share_between(wave, 0.0, 600.0),
    "exponent, mean and sd": lambda wave: np.array([slopes(wave).mean(), slopes(wave).std()]),
    "strongest stretch, quantiles .5 .9 .95 .99": lambda wave: np.quantile(
        strongest_stretch(wave), (0.5, 0.9, 0.95, 0.99)
    ),
}


def check_single_sweeps(folder: Path) -> None:
    """Prints how single sweeps of a mouse average: the law of 1/sqrt(sweeps), and their heavy tails."""
    file = np.load(folder / "ihs_mouse" / "mouse_wt01_trials.npz", allow_pickle=False)
    quiet = file["trial_V"][file["level_dB_SPL"] <= 10].astype(float) * 1e6
    quiet -= quiet.mean(axis=0)
    sd = quiet.std(axis=1)
    rng = np.random.default_rng(0)
    sizes = np.array([8, 32, 128, 512])
    left = [
        np.mean([quiet[rng.choice(len(quiet), n, replace=False)].mean(axis=0).std() for _ in range(50)]) for n in sizes
    ]
    print("\nsingle trials of one mouse, at most 10 dB SPL")
    print(f"  sd, quantiles .05 .5 .95 (uV): {np.quantile(sd, (0.05, 0.5, 0.95)).round(1)}")
    power = np.polyfit(np.log(sizes), np.log(left), 1)[0]
    print(f"  sd of averages falls with trials to the power {power:.2f} (-0.5 expected)")


def main() -> None:
    """Fits, prints the constants beside those in the code, and checks."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        raise SystemExit(f"no recordings at {folder}")
    residuals = human_residuals(folder)
    print(f"{len(residuals.wave_NT)} residual waveforms of three adults; fitted | in the code")
    for name, value in fit(residuals).items():
        shown = f"{value:.3g}" if isinstance(value, float) else value
        print(f"  {name} = {shown} | {getattr(noise, name)}")
    check_against_recordings(residuals)
    check_single_sweeps(folder)


if __name__ == "__main__":
    main()
