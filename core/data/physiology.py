"""Latency, amplitude and threshold of the auditory brainstem response as functions of level, age, rate and sex.

Sources (numbers as collected in the project's domain notes):
Gorga 1989 (wave V latency by level and conceptional age), Elberling 2010 (adult click latency and amplitude by level),
normative newborn and adult inter-peak intervals at 80 dB nHL, infant wave V amplitude at 25/45/65 dB. Levels are in
dB nHL, latencies in ms, amplitudes in microvolts from the peak of wave V to the trough that follows it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

WEEKS_PER_YEAR = 52.18
TERM_WEEKS = 40.0
"""Conceptional age at birth; prematurity is not modelled."""
NORMAL_THRESHOLD_DB = 15.0
"""Middle of the normal ABR threshold range, 10-20 dB nHL: the published level curves are for such ears."""
REFERENCE_RATE_PER_S = 10.0
"""Click rate at which the published latencies were measured."""


def immaturity(age_years: Array) -> Array:
    """1 at term birth, falling to 0 as the brainstem matures: the age term of Gorga's formula, exp(-0.0318 weeks)."""
    return np.asarray(np.exp(-0.0318 * WEEKS_PER_YEAR * age_years))


def gorga_latency_ms(level_db: Array, age_years: Array) -> Array:
    """Wave V latency, Gorga 1989: 4.89 + 4.46 exp(-0.0318 CA) + 5.31 exp(-0.0264 L), CA in conceptional weeks."""
    newborn_delay = 4.46 * np.exp(-0.0318 * TERM_WEEKS)
    return np.asarray(4.89 + newborn_delay * immaturity(age_years) + 5.31 * np.exp(-0.0264 * level_db))


def rate_delay_ms(rate_per_s: Array, age_years: Array) -> Array:
    """Delay of wave V by click rate: 0.5 ms from 10 to 100 /s in adults, twice that in newborns."""
    per_click = 0.5 / 90.0 * (1 + immaturity(age_years))
    return np.asarray(per_click * (rate_per_s - REFERENCE_RATE_PER_S))


def adulthood(age_years: Array) -> Array:
    """0 before puberty, 1 in adults: how far the sex difference has developed."""
    return np.asarray(np.clip((age_years - 10.0) / 8.0, 0.0, 1.0))


def sex_and_ageing_delay_ms(age_years: Array, female: NDArray[np.bool_]) -> Array:
    """Adult women are 0.2 ms earlier (split evenly around the mean); +0.2 ms from 25 to 55 years, both sexes."""
    sex = np.where(female, -0.1, 0.1) * adulthood(age_years)
    ageing = 0.2 * np.clip((age_years - 25.0) / 30.0, 0.0, 1.5)
    return np.asarray(sex + ageing)


def wave_v_latency_ms(level_db: Array, age_years: Array, rate_per_s: Array, female: NDArray[np.bool_]) -> Array:
    """Wave V latency of an average normal ear: Gorga's curve, click rate, sex and ageing."""
    curve = gorga_latency_ms(level_db, age_years)
    return curve + rate_delay_ms(rate_per_s, age_years) + sex_and_ageing_delay_ms(age_years, female)


def latency_scatter_ms(level_db: Array, age_years: Array) -> Array:
    """Spread of wave V latency between normal ears: wide below 50 dB, narrow above.

    Adults 0.79, 0.74, 0.25 ms at 20, 40, 60 dB nHL (Elberling 2010); newborns 0.38 ms at 80 dB.
    """
    above = 0.25 + 0.13 * immaturity(age_years)
    return np.asarray(above + (0.77 - above) / (1 + np.exp((level_db - 49.0) / 3.0)))


def interval_i_v_ms(age_years: Array) -> Array:
    """I-V interval at 80 dB: 4.09 ms in adults, 4.97 ms in term newborns."""
    return np.asarray(4.09 + 0.88 * immaturity(age_years))


def share_i_iii(age_years: Array) -> Array:
    """Share of the I-V interval before wave III: adults 2.16 of 4.09 ms; the extra delay splits 65 : 35."""
    extra = 0.88 * immaturity(age_years)
    return np.asarray((2.16 + 0.65 * extra) / (4.09 + extra))


def adult_amplitude_uv(level_db: Array) -> Array:
    """Adult wave V amplitude: 0.428 (1 - exp(-(L - 2.7) / 18.95)); Elberling: 256, 368, 407 nV at 20, 40, 60 dB."""
    return np.asarray(0.428 * -np.expm1(-np.maximum(level_db - 2.7, 0.0) / 18.95))


def infant_amplitude_uv(level_db: Array) -> Array:
    """Infant wave V amplitude: 3 nV per dB above -1.7 dB, through 80, 140, 200 nV at 25, 45, 65 dB."""
    return np.asarray(0.003 * np.maximum(level_db + 1.7, 0.0))


def amplitude_immaturity(age_years: Array) -> Array:
    """1 in newborns, 5 % left at 5 years: amplitudes mature later than latencies."""
    return np.asarray(np.exp(-age_years * 3.0 / 5.0))


def wave_v_amplitude_uv(level_db: Array, age_years: Array, rate_per_s: Array, female: NDArray[np.bool_]) -> Array:
    """Wave V amplitude of an average normal ear.

    Infant and adult curves mixed by age; adult women +25 % over men, -10 % from 25 to 55 years; wave V loses
    15 % from 10 to 100 /s, twice that in newborns; the earlier waves lose first.
    """
    infant = amplitude_immaturity(age_years)
    curve = infant * infant_amplitude_uv(level_db) + (1 - infant) * adult_amplitude_uv(level_db)
    sex = 1 + np.where(female, 0.111, -0.111) * adulthood(age_years)
    ageing = 1 - 0.1 * np.clip((age_years - 25.0) / 30.0, 0.0, 1.5)
    rate = 1 - 0.15 * (1 + immaturity(age_years)) * (rate_per_s - REFERENCE_RATE_PER_S) / 90.0
    return np.asarray(curve * sex * ageing * rate)


def early_wave_ratio(level_db: Array, rate_per_s: Array, *, half_level_db: float, at_high_level: float) -> Array:
    """Amplitude of wave I or III relative to wave V: falls off below `half_level_db`, and by 30 % from 10 to 100 /s."""
    level = 1 / (1 + np.exp(-(level_db - half_level_db) / 10.0))
    rate = 1 - 0.3 * (rate_per_s - REFERENCE_RATE_PER_S) / 90.0
    return np.asarray(at_high_level * level * rate)


def highpass_amplitude(highpass_hz: Array) -> Array:
    """Wave V amplitude left by the device's high-pass, relative to the 30 Hz of the published values.

    Responses to 2-4 kHz lose 0.2 dB at 50 Hz and 2.9 dB at 100 Hz (6 dB per octave; normal adults, tone pips).
    """
    return np.asarray(10 ** (-np.interp(highpass_hz, (33.0, 50.0, 100.0), (0.0, 0.2, 2.9)) / 20))


def near_threshold(sensation_level_db: Array) -> Array:
    """Share of the response that is left near threshold: 0.96 at threshold, half ten decibels below, 0.03 at -20.

    The published amplitude curves reach zero a little below 0 dB nHL, some 15 dB below the level at which readers place
    the threshold of a normal ear: what is there first drowns in noise and only then ceases.
    """
    return np.asarray(1 / (1 + np.exp(-(sensation_level_db + 10.0) / 3.0)))


def cochlear_latency_level_db(level_db: Array, shift_db: Array, sensation_level_db: Array) -> Array:
    """Level at which a normal ear has the latency of a cochlear loss of `shift_db` at `level_db`.

    Near threshold about a third of the shift acts on latency; 40 dB above it hardly any does (steep curve, near-normal
    latency at high level).
    """
    return np.asarray(level_db - 0.35 * shift_db * np.exp(-np.maximum(sensation_level_db, 0.0) / 15.0))


def cochlear_amplitude_level_db(level_db: Array, shift_db: Array, sensation_level_db: Array) -> Array:
    """Level at which a normal ear has the amplitude of a cochlear loss: recruited 60 dB above threshold."""
    return np.asarray(level_db - shift_db * np.clip(1 - sensation_level_db / 60.0, 0.0, 1.0))
