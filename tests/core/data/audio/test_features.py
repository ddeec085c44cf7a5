"""MFCC features: librosa's, at document 003's parameters, whatever the file is like."""

from __future__ import annotations

import shutil
from pathlib import Path

import librosa
import numpy as np
import pytest
import soundfile

from core.data.apart import open_apart
from core.data.audio.features import FeatureOptions, Unreadable, features, mfcc, waveform

FSDD = Path(__file__).parents[5] / "shared" / "data" / "fsdd" / "recordings"
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:audioread")  # librosa.load tries old readers
RANDOM = np.random.default_rng(3)


def written(file: Path, wave: np.ndarray, rate: int, **how: str) -> Path:
    soundfile.write(file, wave, rate, **how)
    return file


def tone(rate: int, seconds: float, hz: float = 440.0) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * hz * np.arange(int(rate * seconds)) / rate)


def as_documented(file: Path) -> np.ndarray:
    """The document's features, by librosa's own way of reading a file."""
    wave, _ = librosa.load(file, sr=22_050, duration=3.0, mono=True)
    wave = librosa.util.fix_length(wave, size=66_150)
    coefficients = librosa.feature.mfcc(y=wave, sr=22_050, n_mfcc=40, n_fft=2048, hop_length=512)
    return np.stack([coefficients, librosa.feature.delta(coefficients), librosa.feature.delta(coefficients, order=2)])


@pytest.mark.parametrize(
    ("rate", "seconds", "suffix"),
    [(22_050, 3.0, "wav"), (8_000, 0.6, "wav"), (44_100, 4.0, "flac"), (16_000, 1, "ogg")],
)
def test_features_are_those_of_librosa(tmp_path: Path, rate: int, seconds: float, suffix: str) -> None:
    noise = 0.1 * RANDOM.standard_normal(int(rate * seconds))
    file = written(tmp_path / f"a.{suffix}", tone(rate, seconds) * 0.5 + noise, rate)
    ours, problems = features([file], FeatureOptions())
    assert not problems
    assert ours.shape == (1, 3, 40, 130)
    np.testing.assert_allclose(ours[0], as_documented(file), atol=1e-3)
    assert ours[0, 0].std() > 1  # not features of silence


@pytest.mark.skipif(not FSDD.is_dir(), reason="the recordings beside the checkout are not here")
def test_features_of_real_recordings_are_those_of_librosa() -> None:
    files = sorted(FSDD.glob("*.wav"))[::600]
    assert len(files) == 5
    ours, problems = features(files, FeatureOptions())
    assert not problems
    for file, found in zip(files, ours, strict=True):
        np.testing.assert_allclose(found, as_documented(file), atol=1e-3)


def test_stereo_is_averaged(tmp_path: Path) -> None:
    left, right = tone(22_050, 1), tone(22_050, 1, 660.0)
    both = written(tmp_path / "both.wav", np.stack([left, right], 1), 22_050, subtype="FLOAT")
    mean = written(tmp_path / "mean.wav", (left + right) / 2, 22_050, subtype="FLOAT")
    np.testing.assert_allclose(waveform(both, FeatureOptions()), waveform(mean, FeatureOptions()), atol=1e-6)


def test_a_wrong_rate_moves_no_pitch(tmp_path: Path) -> None:
    """A tone of 440 Hz has the same features at 8, 22 and 48 kHz; at half the pitch others."""
    options = FeatureOptions(seconds=1.0)
    found = [
        mfcc(waveform(written(tmp_path / f"{rate}.wav", tone(rate, 1.0), rate), options), options)[0, 1:4, 20]
        for rate in (8_000, 22_050, 48_000)
    ]
    half = mfcc(waveform(written(tmp_path / "half.wav", tone(22_050, 1.0, 220), 22_050), options), options)[0, 1:4, 20]
    assert abs(found[0] - found[1]).max() < 0.5 * abs(half - found[1]).max()
    assert abs(found[2] - found[1]).max() < 0.1 * abs(half - found[1]).max()


def test_a_long_recording_is_cut_and_a_short_one_filled_up() -> None:
    options = FeatureOptions(sampling_rate_hz=8_000, seconds=0.5, coefficients=13, fft=256, hop=128)
    assert options.shape == (3, 13, 32)
    assert mfcc(np.zeros(4_000, np.float32), options).shape == options.shape


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"RIFF no sound at all", "no sound can be read"),
        (b"", "no sound can be read"),
        (b"\0" * 5_000, "no sound can be"),
    ],
)
def test_what_is_no_sound_is_named(tmp_path: Path, content: bytes, says: str) -> None:
    bad, good = tmp_path / "bad.wav", written(tmp_path / "good.wav", tone(22_050, 0.2), 22_050)
    bad.write_bytes(content)
    found, problems = features([bad, good], FeatureOptions())
    assert list(problems) == [0]
    assert "no sound can be read" in problems[0]
    assert not found[0].any()
    assert found[1].any()


def test_sound_without_samples_or_of_no_numbers_is_named(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match="holds no sound"):
        waveform(written(tmp_path / "none.wav", np.zeros(0), 22_050), FeatureOptions())
    nan = written(tmp_path / "nan.wav", np.full(100, np.nan), 22_050, subtype="FLOAT")
    with pytest.raises(Unreadable, match="no numbers"):
        waveform(nan, FeatureOptions())
    with pytest.raises(Unreadable, match="10 Hz cannot be"):
        waveform(written(tmp_path / "slow.wav", np.zeros(100), 10), FeatureOptions())


def test_a_damaged_file_ends_nothing(tmp_path: Path) -> None:
    """In the process of its own, with the manifest that asks for it."""
    file = written(tmp_path / "a.flac", tone(22_050, 1), 22_050)
    damaged = tmp_path / "b.flac"
    shutil.copy(file, damaged)
    content = bytearray(damaged.read_bytes())
    content[200:] = b"\xff" * (len(content) - 200)
    damaged.write_bytes(content)
    manifest = tmp_path / "ask.json"
    manifest.write_text(f'{{"settings": {{"seconds": 1.0}}, "files": ["{file}", "{damaged}"]}}', encoding="utf-8")
    answer = open_apart("audio", [manifest], seconds=60)
    assert answer.arrays["made"].shape == (2, 3, 40, 44)
    assert "0" not in answer.header["problems"]
