import dataclasses

import numpy as np
import pandas as pd
import pytest

from core.data import cohort, physiology, reader
from core.data.recordings import Recordings
from core.data.simulated_card import (
    ReferenceRow,
    clinic_rows,
    clinic_section,
    difficulty_section,
    latent_scores,
    reference_rows,
)
from core.data.simulator import Simulation, simulate, simulate_others, simulate_split
from core.tasks.abr_options import SimulatedData

DEFAULT = SimulatedData()
SMALL = SimulatedData(train=300, val=300, test=300, seed=5)


@pytest.fixture(scope="module")
def simulation() -> Simulation:
    return simulate(DEFAULT)


@pytest.fixture(scope="module")
def large() -> tuple[Recordings, pd.DataFrame]:
    return simulate_split("val", 40_000, 1)


def test_shapes_units_and_names(simulation: Simulation) -> None:
    fold = simulation.fold
    assert fold.test is not None
    for part, wanted in ((fold.train, 1500), (fold.val, 2000), (fold.test, 4000)):
        assert part.signal.shape == (wanted, 200) == (part.clean.shape if part.clean is not None else None)
        assert (part.unit, part.sampling_rate_hz) == ("uV", 15_000.0)
        assert part.class_names == ("NORMAL", "NÖROPATİ", "SNİK", "TOTAL", "İTİK")
        assert np.isfinite(part.static).all()
        assert np.isfinite(part.signal).all()
        # A latency or an amplitude is there exactly where wave V is marked.
        for label in (part.peak_latency_ms, part.peak_amplitude_uv):
            assert (np.isfinite(label) == (part.peak_exist == 1)).all()


def test_same_options_same_numbers_other_seed_other_numbers() -> None:
    first, second = simulate(SMALL), simulate(SMALL)
    other = simulate(SMALL.model_copy(update={"seed": 6}))
    assert first.fold.train.fingerprint() == second.fold.train.fingerprint()
    assert first.fold.train.fingerprint() != other.fold.train.fingerprint()


def test_large_splits_are_drawn_in_parts_of_other_patients(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, _ = simulate_split("val", 700, 5)
    monkeypatch.setattr("core.data.simulator.AT_ONCE", 700)
    table, latents = simulate_split("val", 1500, 5)
    assert len(table) == len(latents) == 1500
    assert table.take(np.arange(700)).signal.tobytes() == whole.signal.tobytes()
    _, patient = np.unique(table.patient, return_inverse=True)
    assert patient.max() == latents["patient"].nunique() - 1
    # One index of the latents, one name.
    assert len(set(zip(patient, latents["patient"], strict=True))) == patient.max() + 1
    assert table.weight is not None
    assert np.bincount(table.hearing_class, table.weight) / 1500 == pytest.approx(cohort.CLASS_SHARE)


def test_changing_validation_leaves_train_and_test_alone() -> None:
    one, two = simulate(SMALL), simulate(SMALL.model_copy(update={"val": 400}))
    assert one.fold.train.fingerprint() == two.fold.train.fingerprint()
    assert one.fold.test is not None
    assert two.fold.test is not None
    assert one.fold.test.fingerprint() == two.fold.test.fingerprint()
    assert one.fold.val.fingerprint() != two.fold.val.fingerprint()


def test_no_patient_crosses(simulation: Simulation) -> None:
    fold = simulation.fold
    assert fold.test is not None
    parts = (fold.train, fold.val, fold.test)
    names = [set(part.patient.tolist()) for part in parts]
    assert sum(map(len, names)) == len(set.union(*names))


def test_each_split_has_its_own_stream() -> None:
    (val, drawn_val), (test, drawn_test) = (simulate_split(split, 300, 1) for split in ("val", "test"))
    assert not set(drawn_val["age_years"]) & set(drawn_test["age_years"])
    assert len(np.unique(np.concatenate([val.signal, test.signal]), axis=0)) == 600


@pytest.mark.parametrize(("split", "quota"), [("train", 3), ("val", 8), ("test", 8)])
def test_every_class_has_its_quota_of_patients(simulation: Simulation, split: str, quota: int) -> None:
    part = getattr(simulation.fold, split)
    for index in range(5):
        assert len(np.unique(part.patient[part.hearing_class == index])) >= quota


def test_weights_restore_the_shares_of_the_clinic(simulation: Simulation) -> None:
    assert simulation.fold.train.weight is None
    plain = np.bincount(simulation.fold.train.hearing_class) / 1500
    assert plain == pytest.approx(np.array(cohort.CLASS_SHARE), abs=0.5 / 1500 + 1e-9)
    for part in (simulation.fold.val, simulation.fold.test):
        assert part is not None
        assert part.weight is not None
        assert part.weight.mean() == pytest.approx(1.0)
        share = np.bincount(part.hearing_class, weights=part.weight) / len(part)
        assert share == pytest.approx(np.array(cohort.CLASS_SHARE), rel=1e-5)


@pytest.mark.parametrize("recordings", [1, 4, 7, 16, 39, 61])
def test_tiny_splits_are_possible(recordings: int) -> None:
    assert len(simulate_split("train", recordings, 1)[0]) == recordings
    part, latents = simulate_split("test", recordings, 1)
    assert len(part) == len(latents) == recordings
    assert part.weight is not None
    assert part.weight.mean() == pytest.approx(1.0)


def test_statistics_are_within_a_tenth_of_the_clinic(large: tuple[Recordings, pd.DataFrame]) -> None:
    rows = clinic_rows(large[0])
    promised = [row for row in rows if row.promised]
    assert len(promised) == 12
    missed = [
        f"{row.quantity}: {row.simulated:.3f}, clinic {row.clinic}" for row in promised if abs(row.deviation) > 0.1
    ]
    assert not missed


def test_unpromised_statistics_are_in_the_neighbourhood(large: tuple[Recordings, pd.DataFrame]) -> None:
    for row in clinic_rows(large[0]):
        assert abs(row.deviation) < 0.15, row
    assert np.median(large[0].static[:, 0]) == 0  # most patients are infants


def test_latency_label_is_the_latency_of_the_wave(large: tuple[Recordings, pd.DataFrame]) -> None:
    part, latents = large
    clear = (part.peak_exist == 1) & (latents["amplitude_uv"] > 5 * latents["noise_sd_uv"]).to_numpy()
    off = np.abs(part.peak_latency_ms[clear] - latents["latency_v_ms"].to_numpy()[clear])
    assert np.median(off) < 0.12
    assert (off > 1).mean() == pytest.approx(reader.WRONG_PEAK * np.exp(-1 / reader.STRAY_MS), abs=0.01)


def test_true_wave_stands_where_and_as_high_as_the_latents_say(large: tuple[Recordings, pd.DataFrame]) -> None:
    part, latents = large
    assert part.clean is not None
    picked = np.flatnonzero((latents["amplitude_uv"] > 0.1) & (latents["latency_v_ms"] < 8))[:300]
    for row in picked:
        at = round(latents["latency_v_ms"][row] * 15)
        wave = part.clean[row]
        assert abs(int(wave[at - 6 : at + 7].argmax()) - 6) <= 1
        height = wave[at - 1 : at + 2].max() - wave[at : at + 75].min()
        assert height == pytest.approx(latents["amplitude_uv"][row], rel=0.1)


def test_signal_is_truth_plus_noise_of_the_stated_size(large: tuple[Recordings, pd.DataFrame]) -> None:
    part, latents = large
    ratio = ((part.signal - part.clean) ** 2).mean(axis=1) / latents["noise_sd_uv"].to_numpy() ** 2
    assert ratio.mean() == pytest.approx(1.0, abs=0.03)


def of_class(latents: pd.DataFrame, index: int) -> pd.DataFrame:
    return latents[latents["hearing_class"] == index]


def test_profound_loss_and_most_neuropathies_have_no_response(large: tuple[Recordings, pd.DataFrame]) -> None:
    latents = large[1]
    assert (of_class(latents, cohort.PROFOUND)["amplitude_uv"] == 0).all()
    patients = cohort.draw_patients(np.random.default_rng(0), 100_000, 0)
    neuropathy = patients.threshold_db[patients.hearing_class == cohort.NEUROPATHY]
    assert (neuropathy > 100).mean() == pytest.approx(0.68, abs=0.05)  # 800 ears: standard error 0.016
    audible = of_class(latents, cohort.NEUROPATHY)
    assert (audible[audible["level_db"] <= 50]["amplitude_uv"] < 0.005).all()


def test_conductive_loss_keeps_intervals_and_shifts_the_curve_by_its_gap(
    large: tuple[Recordings, pd.DataFrame],
) -> None:
    latents = of_class(large[1], cohort.CONDUCTIVE)
    assert latents["effective_level_db"].to_numpy() == pytest.approx(latents["level_db"] - latents["air_bone_gap_db"])
    interval = latents["latency_v_ms"] - latents["latency_i_ms"]
    expected = physiology.interval_i_v_ms(latents["age_years"].to_numpy())
    unclipped = latents["latency_v_ms"] < 13
    assert (interval - expected)[unclipped].mean() == pytest.approx(0.0, abs=0.08)


def test_cochlear_loss_is_near_normal_at_high_level(large: tuple[Recordings, pd.DataFrame]) -> None:
    latents = of_class(large[1], cohort.COCHLEAR)
    above = latents["level_db"] - latents["threshold_db"]
    assert (latents["level_db"] - latents["effective_level_db"])[above > 30].mean() < 3
    assert (latents["level_db"] - latents["effective_level_db"])[above.abs() < 5].mean() > 8


def test_fmp_tells_whether_a_response_is_there(large: tuple[Recordings, pd.DataFrame]) -> None:
    part, latents = large
    fmp, amplitude = part.static[:, 3], latents["amplitude_uv"].to_numpy()
    assert np.median(fmp[amplitude == 0]) < 1.5
    assert np.median(fmp[amplitude > 0.2]) > 5
    assert fmp.max() > 50 * np.median(fmp)  # heavy tail


def test_others_are_not_in_any_split(simulation: Simulation) -> None:
    others, latents = simulate_others(600, DEFAULT.seed)
    assert len(others) == len(latents) == 600
    ages = set(latents["age_years"])
    for drawn in simulation.latents.values():
        assert not ages & set(drawn["age_years"])


def test_sessions_follow_the_patient() -> None:
    rng = np.random.default_rng(0)
    threshold = np.repeat([15.0, 60.0, 108.0], 400)
    levels = cohort.draw_sessions(rng, threshold)
    assert levels.min() >= 0
    assert levels.max() <= cohort.LOUDEST_DB
    assert set(np.unique(levels % 10)) == {0}
    normal, moderate, profound = levels.reshape(3, -1).mean(axis=1)
    assert normal < moderate < profound
    assert (levels[800:, 4:] >= 90).mean() > 0.85  # nothing heard: soon at the loudest


def test_sections_show_the_comparison_and_the_difficulty(simulation: Simulation) -> None:
    section = clinic_section(clinic_rows(simulation.fold.val))
    assert ("wave V labelled, share", 0.746) in {row[:2] for row in section.rows}
    row = ReferenceRow("always the majority class", "none", 0.1774, 0.1734, 0.1813, 0.1776)
    assert difficulty_section([row]).rows == (("always the majority class", "none", 0.177, "0.173 to 0.181", 0.178),)


def test_classes_are_not_given_away_by_the_static_parameters(simulation: Simulation) -> None:
    rows = reference_rows(simulation)
    majority, _, static, _, everything = (row.recording_f1 for row in rows)
    assert rows[-1].inputs == "static parameters and signal"
    assert majority == pytest.approx(0.177, abs=0.001)  # 2p/(1+p)/5 with p = 0.797
    assert majority < static < everything < 0.7
    assert all(row.low < row.recording_f1 < row.high for row in rows)


def test_true_latents_tell_more_than_the_recording(simulation: Simulation) -> None:
    part = simulation.fold.val
    right = latent_scores(simulation, "val", patients=600).argmax(axis=1) == part.hearing_class
    assert np.average(right, weights=part.weight) > 0.88


def test_simulation_is_immutable(simulation: Simulation) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        simulation.seed = 3  # type: ignore[misc]
