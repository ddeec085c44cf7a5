"""MFCC features of sound files: the coefficients, their slopes and the slopes of those, as an image of three channels.

The parameters are document 003's; librosa computes them (Davis & Mermelstein 1980; slopes by Savitzky-Golay filters).
"""

# A channels, M coefficients, L frames, T samples.

from __future__ import annotations

import importlib.metadata
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from core.config import Options

CHANNELS: Final = ("mfcc", "delta", "delta2")
SUFFIXES: Final = (".wav", ".flac", ".ogg")
SLOWEST_HZ: Final = 1_000
FASTEST_HZ: Final = 768_000
"""Sampling rates outside these are taken for damage."""


class Unreadable(ValueError):
    """What is wrong with one file, in words."""


class FeatureOptions(Options):
    """How sound becomes features: all recordings get one length, shorter ones are filled up with silence."""

    sampling_rate_hz: Annotated[int, Field(ge=4_000, le=192_000)] = 22_050
    """Recordings are resampled to it."""
    seconds: Annotated[float, Field(gt=0, le=60)] = 3.0
    """Taken from the beginning of each recording."""
    coefficients: Annotated[int, Field(ge=10, le=128)] = 40
    fft: Annotated[int, Field(ge=64, le=16_384)] = 2048
    """Samples of a window."""
    hop: Annotated[int, Field(ge=16, le=8_192)] = 512
    """Samples from one frame to the next."""

    @property
    def samples(self) -> int:
        """T, samples of a recording at `sampling_rate_hz`."""
        return round(self.sampling_rate_hz * self.seconds)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(3, coefficients, frames)."""
        return len(CHANNELS), self.coefficients, 1 + self.samples // self.hop

    def how(self) -> str:
        """All that decides what comes of a file's bytes."""
        versions = [f"{name} {importlib.metadata.version(name)}" for name in ("librosa", "soundfile", "soxr")]
        return f"{self.model_dump_json()} {versions}"


def waveform(file: Path, options: FeatureOptions) -> NDArray[np.float32]:
    """(T,) the beginning of a sound file at the asked rate, channels averaged, silence after its end.

    Raises Unreadable where that is impossible.
    """
    import librosa
    import soundfile

    try:
        with soundfile.SoundFile(file) as sound:
            rate = int(sound.samplerate)
            if not SLOWEST_HZ <= rate <= FASTEST_HZ:
                raise Unreadable(f"a sampling rate of {rate} Hz cannot be")
            sound_TC = sound.read(math.ceil(rate * options.seconds), dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as fault:
        raise Unreadable(f"no sound can be read from it: {fault.error_string.strip().rstrip('.')}") from fault
    if not len(sound_TC):
        raise Unreadable("it holds no sound")
    if not np.isfinite(sound_TC).all():
        raise Unreadable("it holds samples that are no numbers")
    mono_T = sound_TC.mean(1)
    if rate != options.sampling_rate_hz:
        mono_T = librosa.resample(mono_T, orig_sr=rate, target_sr=options.sampling_rate_hz)
    return np.asarray(librosa.util.fix_length(mono_T, size=options.samples), dtype=np.float32)


def mfcc(wave_T: NDArray[np.float32], options: FeatureOptions) -> NDArray[np.float32]:
    """(3, M, L) coefficients in dB, their slopes, the slopes of those; (3, 40, 130) by default."""
    import librosa

    mfcc_ML = librosa.feature.mfcc(
        y=wave_T, sr=options.sampling_rate_hz, n_mfcc=options.coefficients, n_fft=options.fft, hop_length=options.hop
    )
    width = min(9, mfcc_ML.shape[1] - (mfcc_ML.shape[1] + 1) % 2)
    slopes = [librosa.feature.delta(mfcc_ML, width=width, order=order) for order in (1, 2)]
    return np.stack([mfcc_ML, *slopes]).astype(np.float32)


def features(files: Sequence[Path], options: FeatureOptions) -> tuple[NDArray[np.float32], dict[int, str]]:
    """(N, 3, M, L) features of the files, zero where one cannot be read, and by its place what is wrong with each."""
    found = np.zeros((len(files), *options.shape), dtype=np.float32)
    problems: dict[int, str] = {}
    for index, file in enumerate(files):
        try:
            found[index] = mfcc(waveform(file, options), options)
        except Unreadable as fault:
            problems[index] = str(fault)
    return found, problems
