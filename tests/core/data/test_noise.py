import runpy
from pathlib import Path

import numpy as np
import pytest

from core.data import noise

ROOT = Path(__file__).parents[3]
DATA = ROOT.parent / "shared" / "data"


def drawn(count: int = 4000, *, highpass: float = 100.0, lowpass: float = 3000.0, sd: float = 1.0) -> np.ndarray:
    rng = np.random.default_rng(3)
    band = np.full(count, highpass), np.full(count, lowpass)
    return noise.residual_noise(rng, np.full(count, sd), *band).astype(np.float64)


def power_below(wave_NT: np.ndarray, hertz: float) -> float:
    power = np.abs(np.fft.rfft(wave_NT, axis=1)) ** 2
    power[:, 1:-1] *= 2
    return float(power[:, np.fft.rfftfreq(wave_NT.shape[1], 1 / noise.SAMPLING_RATE_HZ) < hertz].sum() / power.sum())


def test_power_is_the_one_asked_for() -> None:
    assert np.sqrt((drawn(sd=0.05) ** 2).mean()) == pytest.approx(0.05, rel=0.02)


def test_noise_is_lowpass() -> None:
    wave = drawn()
    lag_one = (wave[:, 1:] * wave[:, :-1]).sum() / (wave**2).sum()
    assert 0.94 < lag_one < 0.99
    assert power_below(wave, 600) > 0.75


def test_the_device_band_acts() -> None:
    assert power_below(drawn(highpass=33.0), 150) > power_below(drawn(highpass=100.0), 150)
    assert power_below(drawn(lowpass=1500.0), 1500) > power_below(drawn(lowpass=3000.0), 1500)


def test_sd_falls_with_the_root_of_sweeps() -> None:
    patient = np.zeros(20_000, dtype=np.int64)
    few = noise.residual_sd_uv(np.random.default_rng(0), patient, np.full(20_000, 500.0))
    many = noise.residual_sd_uv(np.random.default_rng(0), patient, np.full(20_000, 2000.0))
    assert few / many == pytest.approx(np.full(20_000, 2.0))


def test_spread_between_and_within_patients_is_the_measured_one() -> None:
    patient = np.repeat(np.arange(3000), 10)
    log_sd = np.log(noise.residual_sd_uv(np.random.default_rng(0), patient, np.ones(30_000))).reshape(3000, 10)
    assert np.exp(np.median(log_sd)) == pytest.approx(noise.SINGLE_SWEEP_SD_UV, rel=0.03)
    within = log_sd.std(axis=1, ddof=1)
    assert np.sqrt((within**2).mean()) == pytest.approx(noise.RECORDING_LOG_SD, rel=0.03)
    between = log_sd.mean(axis=1).var() - noise.RECORDING_LOG_SD**2 / 10
    assert np.sqrt(between) == pytest.approx(noise.PATIENT_LOG_SD, rel=0.05)


def test_bursts_are_heavier_than_steady_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    def strongest() -> float:
        sd = drawn().reshape(4000, 10, 20).std(axis=2)
        return float(np.quantile(sd.max(axis=1) / np.median(sd, axis=1), 0.97))

    with_bursts = strongest()
    monkeypatch.setattr(noise, "BURST_SHARE", 0.0)
    assert with_bursts > 1.05 * strongest()


@pytest.mark.skipif(not DATA.is_dir(), reason="needs the real recordings in ../shared/data")
def test_the_constants_are_those_of_the_recordings() -> None:
    script = runpy.run_path(str(ROOT / "benchmarks" / "fit_noise.py"))
    fitted = script["fit"](script["human_residuals"](DATA))
    for name in ("SINGLE_SWEEP_SD_UV", "PATIENT_LOG_SD", "RECORDING_LOG_SD", "TILT_SD", "MAINS_POWER_SHARE"):
        assert fitted[name] == pytest.approx(getattr(noise, name), rel=0.02), name
    assert (fitted["BURST_SHARE"], fitted["BURST_GAIN"]) == (noise.BURST_SHARE, noise.BURST_GAIN)
    assert np.array(fitted["SPECTRUM"]) == pytest.approx(np.array(noise.SPECTRUM), abs=0.11)
