"""Who is tested and how: simulated patients of five classes, and the levels a tester presents to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.data.physiology import NORMAL_THRESHOLD_DB

CLASS_NAMES: Final = ("NORMAL", "NÖROPATİ", "SNİK", "TOTAL", "İTİK")
"""Spelled as the clinic's file spells them."""
NORMAL, NEUROPATHY, COCHLEAR, PROFOUND, CONDUCTIVE = range(5)
CLASS_SHARE: Final = (41_391 / 51_961, 417 / 51_961, 5_513 / 51_961, 1_715 / 51_961, 2_925 / 51_961)
"""Share of the clinic's recordings in each class."""
RECORDINGS_PER_PATIENT: Final = 6
"""Mean; the clinic has 25.5. Fewer recordings of more patients, because rare classes need patients."""

AGE_GROUPS: Final = ((0.80, 0.0, 1.0), (0.085, 1.0, 6.0), (0.08, 6.0, 18.0), (0.035, 18.0, 58.0))
"""Share, youngest, oldest (years; uniform between, infants towards birth): mean 2.6, median 0 in whole years."""
RATES_PER_S: Final = ((21.1, 0.03), (29.3, 0.14), (33.3, 0.61), (37.7, 0.14), (41.1, 0.08))
"""Click rate and its share: 33.7 +- 3.6 /s as in the clinic."""
HIGHPASS_HZ: Final = ((33.0, 0.4), (100.0, 0.6))
LOWPASS_HZ: Final = ((1500.0, 0.5), (3000.0, 0.5))
"""Corners of the device's band and their shares; the clinic used all four, in unknown proportion."""
START_LEVELS_DB: Final = ((40.0, 0.1), (60.0, 0.1), (70.0, 0.25), (80.0, 0.55))
"""First level of a series and its share."""
SOFTEST_LEVELS_DB: Final = ((0.0, 0.9), (10.0, 0.1))
"""Where a tester stops descending although responses continue, and the share of testers."""
STEPS_DOWN_DB: Final = ((10.0, 0.1), (20.0, 0.45), (30.0, 0.45))
"""Descent after a response and its share."""
STEPS_UP_DB: Final = ((0.0, 0.2), (10.0, 0.5), (20.0, 0.3))
"""Next step after a level without response and its share."""
STOPS_SHORT: Final = 0.4
"""How often a tester does not go down again to levels that gave no response."""
SESSION_STEPS: Final = 24
"""Presentations in a whole session; a patient's recordings are a random part of it, in order."""
LOUDEST_DB: Final = 100.0
SILENT_NEUROPATHIES: Final = 0.68
"""Share of neuropathies without any response."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Patients:
    """P patients, one ear each; every array is (P,)."""

    hearing_class: NDArray[np.int64]
    age_years: NDArray[np.float64]
    female: NDArray[np.bool_]
    threshold_db: NDArray[np.float64]
    """True ABR threshold in dB nHL; above LOUDEST_DB nothing is heard by the device."""
    air_bone_gap_db: NDArray[np.float64]
    """Conductive part of the loss; 0 outside its class."""
    latency_z: NDArray[np.float64]
    """How late this patient's waves are, in standard deviations of normal ears."""
    interval_ms: NDArray[np.float64]
    """Deviation of the I-V interval from the age's mean."""
    amplitude_factor: NDArray[np.float64]
    """Size of this patient's waves relative to the age's mean."""
    early_factor: NDArray[np.float64]
    """Size of waves I and III relative to wave V, against the mean."""
    width_factor: NDArray[np.float64]
    """Width of the waves against the mean."""
    trough: NDArray[np.float64]
    """Depth of the slow negative wave after V relative to V."""
    highpass_hz: NDArray[np.float64]
    lowpass_hz: NDArray[np.float64]


def patients_per_class(patients: int, quota: int) -> NDArray[np.int64]:
    """How many of `patients` each class gets: the clinic's shares, but at least `quota` where so many fit."""
    floor = min(quota, patients // len(CLASS_SHARE))
    counts = np.maximum(np.round(np.array(CLASS_SHARE) * patients).astype(np.int64), floor)
    counts[NORMAL] = patients - counts[1:].sum()
    return counts


def draw_patients(rng: np.random.Generator, count: int, quota: int) -> Patients:
    """`count` patients in random order, at least `quota` of every class where so many fit."""
    hearing_class = rng.permutation(np.repeat(np.arange(len(CLASS_SHARE)), patients_per_class(count, quota)))
    threshold = draw_thresholds(rng, hearing_class)
    age = _ages(rng, count)
    return Patients(
        hearing_class=hearing_class,
        age_years=age,
        female=rng.random(count) < 0.5,
        threshold_db=threshold,
        air_bone_gap_db=np.where(hearing_class == CONDUCTIVE, threshold - NORMAL_THRESHOLD_DB, 0.0),
        **draw_traits(rng, hearing_class, age),
        highpass_hz=_drawn(rng, HIGHPASS_HZ, count),
        lowpass_hz=_drawn(rng, LOWPASS_HZ, count),
    )


def draw_traits(
    rng: np.random.Generator, hearing_class: NDArray[np.int64], age_years: NDArray[np.float64]
) -> dict[str, NDArray[np.float64]]:
    """How the waves of these patients differ from the mean of their age, by the names of `Patients`."""
    count = len(hearing_class)
    return {
        "latency_z": rng.standard_normal(count),
        "interval_ms": _interval_deviation(rng, hearing_class, age_years),
        "amplitude_factor": _amplitude_factor(rng, hearing_class, age_years),
        "early_factor": np.exp(rng.normal(0.0, 0.4, count)),
        "width_factor": np.exp(rng.normal(0.0, 0.12, count)),
        "trough": np.clip(rng.normal(0.6, 0.15, count), 0.2, 1.0),
    }


def _drawn(rng: np.random.Generator, table: tuple[tuple[float, float], ...], count: int) -> NDArray[np.float64]:
    values, shares = np.array(table).T
    return rng.choice(values, count, p=shares / shares.sum())


def _ages(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    share, low, high = np.array(AGE_GROUPS).T
    group = rng.choice(len(share), count, p=share / share.sum())
    position = rng.random(count)
    return np.asarray(low[group] + (high - low)[group] * np.where(group == 0, position**4, position))


def draw_thresholds(rng: np.random.Generator, hearing_class: NDArray[np.int64]) -> NDArray[np.float64]:
    """True thresholds: normal 10-20 dB nHL; two thirds of neuropathies and every profound loss beyond 100 dB."""
    count = len(hearing_class)
    nobody_home = np.clip(rng.normal(108.0, 3.0, count), 103.0, 118.0)
    by_class = (
        np.clip(rng.normal(NORMAL_THRESHOLD_DB, 3.0, count), 6.0, 24.0),
        np.where(rng.random(count) < SILENT_NEUROPATHIES, nobody_home, rng.uniform(72.0, 82.0, count)),
        np.clip(rng.normal(62.0, 17.0, count), 30.0, 97.0),
        nobody_home,
        NORMAL_THRESHOLD_DB + np.clip(rng.normal(32.0, 11.0, count), 15.0, 60.0),
    )
    return np.asarray(np.choose(hearing_class, by_class))


def _interval_deviation(
    rng: np.random.Generator, hearing_class: NDArray[np.int64], age_years: NDArray[np.float64]
) -> NDArray[np.float64]:
    """I-V interval: sd 0.43 ms in newborns, 0.2 in adults; long in neuropathy, normal or short in cochlear loss."""
    own = rng.standard_normal(len(age_years)) * (0.2 + 0.2 * np.exp(-age_years))
    long = rng.uniform(0.6, 1.6, len(age_years))
    short = -rng.uniform(0.0, 0.4, len(age_years))
    return np.asarray(own + np.select([hearing_class == NEUROPATHY, hearing_class == COCHLEAR], [long, short], 0.0))


def _amplitude_factor(
    rng: np.random.Generator, hearing_class: NDArray[np.int64], age_years: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Log-normal, wider in infants; smaller in disease.

    A uniform group of adults varies by 24 % (Elberling); a clinic mixes montages, electrodes and states of sleep, and
    its spread of labelled amplitudes (0.157 of 0.174 uV) asks for more.
    """
    spread = 0.4 + 0.26 * np.exp(-age_years)
    smaller = np.choose(hearing_class, (1.0, 0.35, 0.8, 1.0, 1.0))
    return np.asarray(smaller * np.exp(rng.standard_normal(len(age_years)) * spread - spread**2 / 2))


def draw_sessions(rng: np.random.Generator, threshold_db: NDArray[np.float64]) -> NDArray[np.float64]:
    """Levels (P, SESSION_STEPS) in dB nHL, 0-100, presented to patients with these thresholds.

    A series starts at a usual level, or above the softest level that gave a response, and descends while the tester
    sees a response. Without one at the start it goes on at higher levels, up to the loudest. A level without response
    is repeated or bracketed from above. Later series mostly stop short of levels that gave none.
    """
    count = len(threshold_db)
    softest = _drawn(rng, SOFTEST_LEVELS_DB, count)
    level = _drawn(rng, START_LEVELS_DB, count)
    misses = np.zeros(count)
    softest_seen, loudest_missed = np.full(count, np.inf), np.full(count, -np.inf)
    levels = np.empty((count, SESSION_STEPS))
    for step in range(SESSION_STEPS):
        levels[:, step] = level
        response = rng.random(count) < 1 / (1 + np.exp(-(level - threshold_db) / 3.0))
        misses = np.where(response, 0.0, misses + 1)
        softest_seen = np.where(response, np.minimum(softest_seen, level), softest_seen)
        loudest_missed = np.where(response, loudest_missed, np.maximum(loudest_missed, level))
        seen = np.isfinite(softest_seen)
        down = level - _drawn(rng, STEPS_DOWN_DB, count)
        bracket = level + _drawn(rng, STEPS_UP_DB, count)
        following = np.where(response, down, np.where(seen, bracket, level + 20.0))
        known_silent = response & (following <= loudest_missed) & (rng.random(count) < STOPS_SHORT)
        over = (following < softest) | known_silent | (seen & (misses >= 2))
        restart = np.maximum(_drawn(rng, START_LEVELS_DB, count), softest_seen + 10.0 * rng.integers(1, 4, count))
        level = np.clip(np.where(over, restart, following), 0.0, LOUDEST_DB)
        misses = np.where(over, 0.0, misses)
    return levels
