"""The simulator's law as somebody who reads its recordings knows it: kinds of noise, levels, patients."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import logsumexp, ndtr
from scipy.stats import norm

from core.data import cohort, noise
from core.data.simulator import (
    FMP_WINDOW_MS,
    NOISE_DEGREES_OF_FREEDOM,
    SWEEPS,
    simulate_others,
    waveforms,
    with_waves,
)

# N drawn patients, T samples, K components, M kinds of noise, H high-passes, J values

Floats = NDArray[np.float64]

COMPONENTS: Final = 34
"""Principal components of the noise-free responses: all but 0.00003 of their power."""
TILTS: Final = np.linspace(-2.5, 2.5, 15) * noise.TILT_SD
BURSTS_MS: Final = np.linspace(0.0, (noise.SAMPLES - 1) * 1000 / noise.SAMPLING_RATE_HZ, 14)
FLOOR: Final = 1e-6
"""White noise added to the spectrum, as a share of its power: keeps its covariance invertible."""
FMP_SPREAD: Final = 1 / np.sqrt(2 * NOISE_DEGREES_OF_FREEDOM)
"""Of ln(noise sd), when the device's estimate is known."""
SESSIONS: Final = 3_000
"""Drawn for each threshold."""

# Places of the numbers that `Prescribed` hands out, in the order in which the simulator asks for them.
SILENT, AGE, FEMALE = 2, 16, 17
NUMBERS: Final = 18
OF_EVERYBODY: Final = (6, 7, 10, 11, 12, 13, 14, 15, AGE, FEMALE)
OF_CLASS: Final = {
    cohort.NORMAL: (1,),
    cohort.NEUROPATHY: (3, 8),
    cohort.COCHLEAR: (4, 9),
    cohort.CONDUCTIVE: (5,),
}


def used_by(kind: int) -> NDArray[np.int64]:
    """Which of the numbers change anything for a patient of the class who responds."""
    return np.array([*OF_EVERYBODY, *OF_CLASS[kind]])


class Prescribed:
    """Stands in for a random generator: hands out given standard normal numbers, shaped as asked for, in order."""

    def __init__(self, normal_ND: Floats) -> None:
        """The columns of `normal_ND` are handed out one after the other."""
        self._columns = iter(normal_ND.T)

    def standard_normal(self, size: int) -> Floats:
        """As of a numpy generator."""
        return next(self._columns)

    def normal(self, loc: float, scale: float, size: int) -> Floats:
        """As of a numpy generator."""
        return loc + scale * next(self._columns)

    def random(self, size: int) -> Floats:
        """As of a numpy generator."""
        return np.asarray(ndtr(next(self._columns)))

    def uniform(self, low: float, high: float, size: int) -> Floats:
        """As of a numpy generator."""
        return low + (high - low) * np.asarray(ndtr(next(self._columns)))


class Law:
    """What the reader knows beforehand; made once, a few seconds."""

    def __init__(self, seed: int = 0) -> None:
        """`seed` of the draws behind its tables."""
        self._rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(99,)))
        _, latents = simulate_others(12_000, seed)
        clean_NT = waveforms(latents)[0].astype(np.float64)
        length_N = np.linalg.norm(clean_NT, axis=1)
        shape_NT = clean_NT[length_N > 0] / length_N[length_N > 0, None]
        self.basis_TK = np.linalg.eigh(shape_NT.T @ shape_NT)[1][:, ::-1][:, :COMPONENTS]
        size_NK = clean_NT @ self.basis_TK
        level_N = latents["level_db"].to_numpy()
        small_KK = 1e-8 * np.eye(COMPONENTS)
        self.moment = {
            level: size_NK[level_N == level].T @ size_NK[level_N == level] / (level_N == level).sum() + small_KK
            for level in np.unique(level_N)
        }
        self._kinds_of_noise()

    def _kinds_of_noise(self) -> None:
        highpass, share, root = [], [], []
        frequency = np.fft.rfftfreq(noise.PERIOD, 1 / noise.SAMPLING_RATE_HZ)
        time_ms = np.arange(noise.SAMPLES) * 1000 / noise.SAMPLING_RATE_HZ
        distance = np.abs(np.subtract.outer(np.arange(noise.SAMPLES), np.arange(noise.SAMPLES)))
        angle = 2 * np.pi * noise.MAINS_HZ * np.arange(noise.SAMPLES) / noise.SAMPLING_RATE_HZ
        # The power of a line with exponential power and any phase is that of two independent normal amplitudes.
        mains_TT = np.cos(np.subtract.outer(angle, angle))
        tilt_share = norm.pdf(TILTS, scale=noise.TILT_SD)
        tilt_share /= tilt_share.sum()
        gains = [np.ones(noise.SAMPLES)]
        for centre in BURSTS_MS:
            gain = 1 + (noise.BURST_GAIN - 1) * np.exp(-0.5 * ((time_ms - centre) / noise.BURST_WIDTH_MS) ** 2)
            gains.append(gain / np.sqrt((gain**2).mean()))
        gain_share = [1 - noise.BURST_SHARE, *[noise.BURST_SHARE / len(BURSTS_MS)] * len(BURSTS_MS)]
        for high, high_share in cohort.HIGHPASS_HZ:
            for low, low_share in cohort.LOWPASS_HZ:
                for tilt, of_tilt in zip(TILTS, tilt_share, strict=True):
                    power = noise.density(frequency, np.array([high]), np.array([low]))[0]
                    power = power * np.clip((np.maximum(frequency, 60.0) / 300.0) ** tilt, 0.05, 20.0)
                    lag = np.fft.irfft(power, n=noise.PERIOD)[: noise.SAMPLES]
                    background_TT = (1 - FLOOR) * (lag / lag[0])[distance] + FLOOR * np.eye(noise.SAMPLES)
                    for gain, of_gain in zip(gains, gain_share, strict=True):
                        covariance_TT = (1 - noise.MAINS_POWER_SHARE) * background_TT * np.outer(gain, gain)
                        covariance_TT += noise.MAINS_POWER_SHARE * mains_TT
                        root.append(np.linalg.inv(np.linalg.cholesky(covariance_TT)))
                        highpass.append(high)
                        share.append(high_share * low_share * of_tilt * of_gain)
        self.highpass_M = np.array(highpass)
        self.share_M = np.array(share)
        self.white_MTT = np.stack(root)
        """Turns noise of a kind, of power 1, into white noise."""
        self.logdet_M = -2 * np.log(np.diagonal(self.white_MTT, axis1=1, axis2=2)).sum(axis=1)
        self.basis_MTK = self.white_MTT @ self.basis_TK
        self.gram_MKK = self.basis_MTK.swapaxes(1, 2) @ self.basis_MTK

    @cached_property
    def _levels(self) -> tuple[Floats, Floats]:
        threshold = np.arange(5.0, 120.0, 1.0)
        session = cohort.draw_sessions(self._rng, np.repeat(threshold, SESSIONS)).reshape(len(threshold), -1)
        return threshold, np.stack([(session == level).mean(axis=1) for level in np.arange(0.0, 101.0, 10.0)], axis=1)

    def level_share(self, level_db: float, threshold_db: Floats) -> Floats:
        """(N,) how often a patient with this threshold is tested at the level."""
        threshold, share = self._levels
        return np.asarray(np.interp(threshold_db, threshold, share[:, round(level_db / 10)]))

    @cached_property
    def profound_db(self) -> Floats:
        """(N,) thresholds of patients without any response."""
        return cohort.draw_thresholds(self._rng, np.full(4_000, cohort.PROFOUND))


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """A recording, and what follows from it for each kind of noise."""

    age: int
    level_db: float
    rate_per_s: float
    sd_uv: float
    """Of the noise, by the device's estimate."""
    towards_MK: Floats
    power_M: Floats
    likely_M: Floats
    """A first guess at the kind of noise, with the response integrated out as if it were Gaussian."""

    @classmethod
    def of(cls, law: Law, signal_T: Floats, static_4: Floats) -> Seen:
        """From a row of the table."""
        age, level, rate, fmp = map(float, static_4)
        time_ms = np.arange(noise.SAMPLES) * 1000 / noise.SAMPLING_RATE_HZ
        window = (time_ms >= FMP_WINDOW_MS[0]) & (time_ms <= FMP_WINDOW_MS[1])
        sd = float(np.sqrt(signal_T[window].var() / fmp))
        white_MT = law.white_MTT @ signal_T
        towards_MK = np.einsum("mt,mtk->mk", white_MT, law.basis_MTK)
        power_M = (white_MT**2).sum(axis=1)
        moment_KK = law.moment[level] / sd**2
        inside_MKK = np.eye(COMPONENTS) + moment_KK @ law.gram_MKK
        answer_MK = np.linalg.solve(inside_MKK, (towards_MK @ moment_KK)[..., None])[..., 0]
        explained_M = (towards_MK * answer_MK).sum(axis=1)
        # (I + M G)^-1 M q, of the Woodbury identity: M is the responses' moment, G their Gram matrix, q the products.
        evidence_M = -0.5 * (law.logdet_M + np.linalg.slogdet(inside_MKK)[1] + (power_M - explained_M) / sd**2)
        guess_M = np.log(law.share_M) + 0.8 * evidence_M
        guess_M = np.exp(guess_M - logsumexp(guess_M))
        return cls(int(age), level, rate, sd, towards_MK, power_M, 0.9 * guess_M + 0.1 * law.share_M)


def patients(seen: Seen, kind: int, normal_ND: Floats, highpass_N: Floats) -> pd.DataFrame:
    """Latents of patients of the class who respond, as the simulator makes them of these numbers."""
    normal_ND = normal_ND.copy()
    # Neuropathies without a response are counted elsewhere.
    normal_ND[:, SILENT] = np.inf
    count = len(normal_ND)
    kind_N = np.full(count, kind)
    drawn: Any = Prescribed(normal_ND)
    threshold_N = cohort.draw_thresholds(drawn, kind_N)
    part_N = ndtr(normal_ND[:, AGE])
    age_N = seen.age + (part_N**4 if seen.age == 0 else part_N)
    latents = {
        "hearing_class": kind_N,
        "age_years": age_N,
        "female": normal_ND[:, FEMALE] > 0,
        "threshold_db": threshold_N,
        **cohort.draw_traits(drawn, kind_N, age_N),
        "highpass_hz": highpass_N,
        "level_db": np.full(count, seen.level_db),
        "rate_per_s": np.full(count, seen.rate_per_s),
    }
    return with_waves(drawn, pd.DataFrame(latents))


def depths(seen: Seen, normal_N: Floats) -> tuple[Floats, Floats]:
    """(N,) noise sd drawn around the device's estimate, and ln of law over proposal (up to one constant)."""
    sd_N = seen.sd_uv * np.exp(FMP_SPREAD * normal_N)
    usual = np.log(noise.SINGLE_SWEEP_SD_UV) - 0.5 * np.log(SWEEPS[0])
    spread = np.sqrt(noise.PATIENT_LOG_SD**2 + noise.RECORDING_LOG_SD**2 + (0.5 * SWEEPS[1]) ** 2)
    ratio_N = (seen.sd_uv / sd_N) ** 2
    # The device's estimate is chi-squared around the noise's power.
    told_N = 0.5 * NOISE_DEGREES_OF_FREEDOM * (np.log(ratio_N) - ratio_N + 1)
    return sd_N, -0.5 * ((np.log(sd_N) - usual) / spread) ** 2 + told_N + 0.5 * normal_N**2
