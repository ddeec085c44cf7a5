"""Recordings small enough to reason about: a bump at the labelled latency, of the labelled height, in white noise."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from core.data.recordings import Recordings

BumpRecordings = Callable[..., Recordings]


@pytest.fixture(scope="session")
def bump_recordings() -> BumpRecordings:
    """Makes n recordings of T samples with every label; a quarter has no wave V, some static parameters are unknown."""

    def make(n: int, samples: int = 200, seed: int = 0, noise_uv: float = 0.05) -> Recordings:
        random = np.random.default_rng(seed)
        time_ms = np.arange(samples) / 15.0
        latency = random.uniform(4.0, time_ms[-1] - 2.0, n)
        height = random.uniform(0.05, 0.5, n)
        visible = np.arange(n) % 4 != 3
        clean = np.where(visible, height, 0.0)[:, None] * np.exp(-0.5 * ((time_ms - latency[:, None]) / 0.4) ** 2)
        static = np.stack(
            [random.gamma(0.3, 8, n), random.choice(np.arange(0, 101, 10), n), random.normal(33, 3, n)], axis=1
        )
        static = np.column_stack([static, random.gamma(2, 2, n)]).astype(np.float32)
        static[random.random((n, 4)) < 0.1] = np.nan
        return Recordings(
            signal=(clean + random.normal(0, noise_uv, clean.shape)).astype(np.float32),
            sampling_rate_hz=15_000.0,
            unit="uV",
            patient=np.array([f"p{row // 3}" for row in range(n)]),
            static=static,
            class_names=("NORMAL", "NÖROPATİ", "SNİK", "TOTAL", "İTİK"),
            hearing_class=np.arange(n) % 5,
            threshold_db=random.uniform(0, 100, n).astype(np.float32),
            peak_exist=visible.astype(np.float32),
            peak_latency_ms=np.where(visible, latency, np.nan).astype(np.float32),
            peak_amplitude_uv=np.where(visible, height, np.nan).astype(np.float32),
            clean=clean.astype(np.float32),
        )

    return make
