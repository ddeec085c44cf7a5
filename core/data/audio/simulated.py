"""Simulated calls: chirps of several kinds in a long tail, for those who have no recordings of their own.

Whatever is made from them is called simulated.
"""

# T samples, K classes.

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

RATE_HZ: Final = 22_050
SECONDS: Final = 1.0
LOWEST_HZ: Final = 400.0
OCTAVES: Final = 3.5
"""Between the lowest and the highest kind."""


@dataclass(frozen=True, slots=True)
class Call:
    """What the calls of one kind have in common."""

    start_hz: float
    end_hz: float
    trill_hz: float
    """How often the loudness swells."""
    notes: int


def kinds(count: int, seed: int) -> tuple[Call, ...]:
    """`count` kinds of call; neighbours in pitch differ in slope, trill and number of notes."""
    random = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0,)))
    pitch_K = LOWEST_HZ * 2 ** (OCTAVES * np.arange(count) / max(1, count - 1))
    slope_K = 2 ** random.uniform(-0.8, 0.8, count)
    return tuple(
        Call(float(pitch), float(pitch * slope), float(random.uniform(4, 30)), int(random.integers(1, 5)))
        for pitch, slope in zip(pitch_K, slope_K, strict=True)
    )


def names(count: int) -> tuple[str, ...]:
    """Names of the kinds, in their order."""
    return tuple(f"call {index:02d}" for index in range(count))


def sound(call: Call, random: np.random.Generator) -> NDArray[np.float32]:
    """(T,) one call: every animal a little off the pitch of its kind, somewhere in the second, in noise."""
    count = int(RATE_HZ * SECONDS)
    time_T = np.arange(count) / RATE_HZ
    off = 2 ** random.normal(0, 0.08)
    wave_T = np.zeros(count)
    length = random.uniform(0.08, 0.2)
    start = random.uniform(0.0, 0.2)
    for note in range(call.notes):
        place_T = (time_T - start - note * (length + 0.05)) / length
        inside_T = (place_T >= 0) & (place_T <= 1)
        sweep = call.end_hz / call.start_hz
        pitch_T = call.start_hz * off * sweep ** np.clip(place_T, 0, 1)
        phase_T = 2 * np.pi * np.cumsum(pitch_T) / RATE_HZ
        swell_T = np.sin(np.pi * np.clip(place_T, 0, 1)) ** 2 * (1 + 0.5 * np.sin(2 * np.pi * call.trill_hz * time_T))
        wave_T += inside_T * swell_T * (np.sin(phase_T) + 0.3 * np.sin(2 * phase_T))
    loudness = 10 ** random.uniform(-1.5, -0.3)
    noise_T = np.cumsum(random.standard_normal(count)) * 2e-4 + random.standard_normal(count) * 10 ** random.uniform(
        -3, -1
    )
    wave_T = loudness * wave_T + noise_T - noise_T.mean()
    return np.asarray(wave_T / max(1.0, float(np.abs(wave_T).max())), dtype=np.float32)


def tail(classes: int, largest: int, smallest: int) -> tuple[int, ...]:
    """Examples of each class, falling geometrically from the largest to the smallest."""
    ratio = (smallest / largest) ** (1 / max(1, classes - 1))
    return tuple(max(smallest, round(largest * ratio**index)) for index in range(classes))


def write_calls(folder: Path, *, classes: int, counts: tuple[int, ...], seed: int) -> None:
    """Writes the calls as wav files, in a folder for each kind: `call 03/017.wav`."""
    import soundfile

    for index, (call, name, count) in enumerate(zip(kinds(classes, seed), names(classes), counts, strict=True)):
        place = folder / name
        place.mkdir(parents=True)
        for take in range(count):
            random = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(1, index, take)))
            soundfile.write(place / f"{take:03d}.wav", sound(call, random), RATE_HZ)
