import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import ks_2samp
from threadpoolctl import threadpool_limits

from benchmarks.ideal import evidence
from benchmarks.ideal.evidence import log_evidence, posterior
from benchmarks.ideal.law import NUMBERS, OF_CLASS, Law, Seen, patients, used_by
from benchmarks.ideal_reader import decided
from core.data import cohort
from core.data.noise import residual_noise
from core.data.simulator import simulate_others, simulate_split, waveforms


@pytest.fixture(scope="module")
def law():
    with threadpool_limits(limits=1):
        yield Law(7)


def seen_of(law, number, table):
    return Seen.of(law, table.signal[number].astype(float), table.static[number].astype(float))


@pytest.fixture(scope="module")
def recordings():
    return simulate_split("val", 2_000, 3)


@pytest.mark.parametrize("kind", OF_CLASS)
def test_patients_made_of_normal_numbers_are_the_simulators(law, kind, recordings):
    _, latents = simulate_others(60_000, 11)
    heard = (latents["hearing_class"] == kind) & (latents["threshold_db"] <= cohort.LOUDEST_DB)
    same = latents[heard & (latents["age_years"] < 1) & (latents["level_db"] == 80)]
    seen = Seen(0, 80.0, 33.3, 0.03, *[law.share_M] * 3)
    numbers = np.random.default_rng(0).standard_normal((8_000, NUMBERS))
    made = patients(seen, kind, numbers, np.where(np.arange(8_000) % 5 < 2, 33.0, 100.0))
    # The level is given: thresholds follow the tester, as the weights have it.
    share = law.level_share(80.0, made["threshold_db"].to_numpy())
    made = made.iloc[np.random.default_rng(1).choice(8_000, 8_000, p=share / share.sum())]
    for name in ("threshold_db", "age_years", "latency_v_ms", "latency_i_ms", "amplitude_uv", "width_factor", "trough"):
        assert ks_2samp(same[name], made[name]).statistic < 1.9 / np.sqrt(len(same)) + 0.02, name


@pytest.mark.parametrize("kind", OF_CLASS)
def test_the_numbers_said_to_be_used_are_those_that_are(law, kind):
    # At age 30 every number counts, sex included.
    seen = Seen(30, 90.0, 33.3, 0.03, *[law.share_M] * 3)
    base = np.random.default_rng(2).standard_normal((1, NUMBERS)) * 0.3
    changed = np.vstack([base, *(base + 2.0 * np.eye(NUMBERS)[[place]] for place in range(NUMBERS))])
    made = patients(seen, kind, changed, np.full(len(changed), 100.0))
    wave = waveforms(made)[0]
    moved = [np.abs(wave[place + 1] - wave[0]).max() > 1e-6 for place in range(NUMBERS)]
    # A neuropathy has no early waves: their size does not count there.
    idle = {11} if kind == cohort.NEUROPATHY else set()
    assert set(np.flatnonzero(moved)) == set(used_by(kind)) - idle


def test_the_simulators_noise_is_told_its_kind_and_becomes_white(law):
    rng = np.random.default_rng(4)
    told = {}
    for highpass in (33.0, 100.0):
        wave_NT = residual_noise(rng, np.ones(60), np.full(60, highpass), np.full(60, 1500.0)).astype(float)
        power_NM = np.array([((law.white_MTT @ wave_T) ** 2).sum(axis=1) for wave_T in wave_NT])
        ln_NM = np.log(law.share_M) - 0.5 * (law.logdet_M + power_NM)
        told_NM = np.exp(ln_NM - logsumexp(ln_NM, axis=1)[:, None])
        told[highpass] = told_NM[:, law.highpass_M == 100.0].sum(axis=1).mean()
        # A millionth of white noise that the law adds leaves the emptiest directions below one.
        assert 0.7 < np.median((told_NM * power_NM).sum(axis=1)) / wave_NT.shape[1] < 1.05
    # Thirteen milliseconds tell little of a corner at 33 Hz, but something; the usual share is 0.6.
    assert told[33.0] < 0.6 < told[100.0]


def test_silence_at_full_level_is_told_from_neither_of_its_causes(law, recordings):
    table, latents = recordings
    silent = np.flatnonzero((latents["amplitude_uv"] == 0) & (table.static[:, 1] == 100))[:4]
    assert len(silent) == 4
    for number in silent:
        share, _ = posterior(law, seen_of(law, number, table), np.random.default_rng(0))
        expected = cohort.SILENT_NEUROPATHIES * cohort.CLASS_SHARE[1] / cohort.CLASS_SHARE[3]
        assert share[1] / share[3] == pytest.approx(expected, rel=0.15)
        assert share[1] + share[3] > 0.5


def test_clear_responses_are_no_profound_loss_and_two_readings_agree(law, recordings):
    table, latents = recordings
    clear = np.flatnonzero(latents["amplitude_uv"] > 7 * latents["noise_sd_uv"])[:3]
    assert len(clear) == 3
    for number in clear:
        share, counting = posterior(law, seen_of(law, number, table), np.random.default_rng(0))
        again, _ = posterior(law, seen_of(law, number, table), np.random.default_rng(1))
        assert share[cohort.PROFOUND] < 1e-4
        assert counting > 5
        assert np.abs(share - again).max() < 0.15


def test_led_sums_are_those_of_many_unled_draws(law, recordings, monkeypatch):
    table, latents = recordings
    size = latents["amplitude_uv"] / latents["noise_sd_uv"]
    faint = np.flatnonzero((size > 2) & (size < 3))[:2]
    monkeypatch.setattr(evidence, "ENOUGH", 1e9)
    for number in faint:
        seen = seen_of(law, number, table)
        led, _ = log_evidence(law, seen, np.random.default_rng(0))
        with monkeypatch.context() as patch:
            patch.setattr(evidence, "DRAWN", 30_000)
            patch.setattr(evidence, "ROUNDS", 1)
            unled, _ = log_evidence(law, seen, np.random.default_rng(0))
        np.testing.assert_allclose(led, unled, atol=0.25)


def test_decisions_make_the_expected_macro_f1_highest():
    rng = np.random.default_rng(0)
    probability = rng.dirichlet([8, 1, 1], 3_000)
    truth = np.array([rng.choice(3, p=each) for each in probability])

    def macro(said):
        right = np.array([((said == c) & (truth == c)).sum() for c in range(3)])
        return (2 * right / (np.bincount(said, minlength=3) + np.bincount(truth, minlength=3))).mean()

    assert macro(decided(probability, np.ones(3_000))) > macro(probability.argmax(axis=1)) + 0.02
