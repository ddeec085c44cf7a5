import numpy as np
import pytest

from core.data import physiology

NEWBORN, ADULT = np.array([0.0]), np.array([25.0])
MAN, WOMAN = np.array([False]), np.array([True])
TEN = np.array([10.0])


def level(db: float) -> np.ndarray:
    return np.array([db])


def test_gorga_at_forty_weeks_and_44_db() -> None:
    # 4.89 + 4.46 exp(-1.272) + 5.31 exp(-1.1616) = 4.89 + 1.2501 + 1.6619
    assert physiology.gorga_latency_ms(level(44), NEWBORN) == pytest.approx(7.802, abs=1e-3)


def test_term_newborn_at_80_db_is_within_a_normative_sd() -> None:
    assert physiology.gorga_latency_ms(level(80), NEWBORN) == pytest.approx(6.75, abs=0.38)


@pytest.mark.parametrize(("db", "published", "sd"), [(20, 7.60, 0.79), (40, 6.59, 0.74), (60, 5.88, 0.25)])
def test_adult_latencies_are_within_a_published_sd(db: float, published: float, sd: float) -> None:
    assert physiology.wave_v_latency_ms(level(db), ADULT, TEN, MAN) == pytest.approx(published, abs=sd)


@pytest.mark.parametrize(("db", "published"), [(20, 0.256), (40, 0.368), (60, 0.407)])
def test_adult_amplitudes_go_through_the_published_ones(db: float, published: float) -> None:
    assert physiology.adult_amplitude_uv(level(db)) == pytest.approx(published, abs=0.001)


@pytest.mark.parametrize(("db", "published"), [(25, 0.080), (45, 0.140), (65, 0.200)])
def test_infant_amplitudes_go_through_the_published_ones(db: float, published: float) -> None:
    assert physiology.infant_amplitude_uv(level(db)) == pytest.approx(published, abs=0.001)


def test_no_amplitude_below_the_curves_origin() -> None:
    assert physiology.adult_amplitude_uv(level(0)) == 0
    assert physiology.infant_amplitude_uv(level(-10)) == 0


def test_rate_delays_adults_by_half_a_millisecond_and_newborns_by_more() -> None:
    hundred = np.array([100.0])
    assert physiology.rate_delay_ms(hundred, ADULT) == pytest.approx(0.5)
    assert physiology.rate_delay_ms(hundred, NEWBORN) == pytest.approx(1.0)
    assert physiology.rate_delay_ms(TEN, NEWBORN) == 0


def test_women_are_earlier_and_larger() -> None:
    later = physiology.wave_v_latency_ms(level(60), ADULT, TEN, MAN)
    assert later - physiology.wave_v_latency_ms(level(60), ADULT, TEN, WOMAN) == pytest.approx(0.2)
    smaller = physiology.wave_v_amplitude_uv(level(60), ADULT, TEN, MAN)
    larger = physiology.wave_v_amplitude_uv(level(60), ADULT, TEN, WOMAN)
    assert larger / smaller == pytest.approx(1.25, abs=0.001)


def test_newborn_boys_and_girls_are_alike() -> None:
    girl = physiology.wave_v_latency_ms(level(60), NEWBORN, TEN, WOMAN)
    assert physiology.wave_v_latency_ms(level(60), NEWBORN, TEN, MAN) == girl


def test_ageing_from_25_to_55() -> None:
    old = np.array([55.0])
    delay = physiology.sex_and_ageing_delay_ms(old, MAN) - physiology.sex_and_ageing_delay_ms(ADULT, MAN)
    assert delay == pytest.approx(0.2)
    ratio = physiology.wave_v_amplitude_uv(level(60), old, TEN, MAN) / physiology.wave_v_amplitude_uv(
        level(60), ADULT, TEN, MAN
    )
    assert ratio == pytest.approx(0.9, abs=1e-4)


def test_intervals_of_adults_and_newborns() -> None:
    assert physiology.interval_i_v_ms(NEWBORN) == pytest.approx(4.97)
    assert physiology.interval_i_v_ms(ADULT) == pytest.approx(4.09)
    # I-III: adults 5.75 - 1.66 - (5.75 - 3.82) = 2.16; newborns 2.75 +- .36
    assert physiology.share_i_iii(ADULT) * 4.09 == pytest.approx(2.16)
    assert physiology.share_i_iii(NEWBORN) * 4.97 == pytest.approx(2.75, abs=0.05)


def test_a_conductive_shift_moves_the_whole_curve_and_a_cochlear_one_only_its_foot() -> None:
    # A loss of 45 dB (threshold 60), at threshold and 40 dB above it.
    shift, at, above = level(45), level(60), level(100)
    assert physiology.cochlear_latency_level_db(at, shift, level(0)) == pytest.approx(60 - 0.35 * 45)
    assert physiology.cochlear_latency_level_db(above, shift, level(40)) == pytest.approx(100, abs=1.2)
    assert physiology.cochlear_amplitude_level_db(at, shift, level(0)) == pytest.approx(15)
    assert physiology.cochlear_amplitude_level_db(above, shift, level(60)) == pytest.approx(100)


def test_early_waves_fade_first_with_falling_level_and_rising_rate() -> None:
    def ratio(db: float, rate: float) -> float:
        rate_ = np.array([rate])
        return float(physiology.early_wave_ratio(level(db), rate_, half_level_db=55.0, at_high_level=0.6)[0])

    assert ratio(55, 10) == pytest.approx(0.3)
    assert ratio(55, 100) == pytest.approx(0.3 * 0.7)
    assert ratio(20, 10) < 0.02 < ratio(80, 10)


def test_highpass_costs_2_9_decibels_at_100_hertz() -> None:
    assert physiology.highpass_amplitude(np.array([33.0, 100.0])) == pytest.approx([1.0, 10 ** (-2.9 / 20)])


def test_response_fades_below_threshold() -> None:
    left = physiology.near_threshold(np.array([30.0, 0.0, -10.0, -30.0]))
    assert left == pytest.approx([1.0, 0.966, 0.5, 0.001], abs=0.001)
