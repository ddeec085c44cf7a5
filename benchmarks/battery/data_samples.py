"""A small valid file of recordings in each format that is read, made from one table, damaged or not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Literal

import joblib
import numpy as np

from core.data.files import FILES
from core.data.recordings import STATIC, Recordings

Form = Literal["npz", "parquet", "csv", "ihs", "epl", "clinic"]
"""`npz` and `parquet` are described, the others imported."""
EPL_LEVELS: Final = 6
NAMES: Final[Mapping[Form, str]] = {
    "npz": "t.npz",
    "parquet": "t.parquet",
    "csv": "t.csv",
    "ihs": "ihs.npz",
    "epl": "ABR-7-1",
    "clinic": "clinic.pkl",
}


def table(seed: int = 3, recordings: int = 24, samples: int = 120) -> Recordings:
    """Recordings with every column: a wave at the labelled latency in noise, four of each patient."""
    random = np.random.default_rng(seed)
    time_ms = np.arange(samples) / 15.0
    latency = random.uniform(5.0, 7.0, recordings)
    height = random.uniform(0.2, 0.6, recordings)
    seen = np.arange(recordings) % 4 != 3
    wave = np.where(seen, height, 0)[:, None] * np.exp(-0.5 * ((time_ms - latency[:, None]) / 0.4) ** 2)
    level = random.choice(np.arange(20, 100, 10), recordings)
    static = [random.uniform(1, 60, recordings), level, random.uniform(30, 36, recordings), np.ones(recordings)]
    return Recordings(
        signal=(wave + random.normal(0, 0.05, wave.shape)).astype(np.float32),
        sampling_rate_hz=15_000.0,
        unit="uV",
        patient=np.array([f"p{row // 4}" for row in range(recordings)]),
        static=np.stack(static, axis=1).astype(np.float32),
        class_names=("NORMAL", "SNİK", "İTİK"),
        hearing_class=np.arange(recordings) // 4 % 3,
        threshold_db=random.uniform(10, 80, recordings).astype(np.float32),
        peak_exist=seen.astype(np.float32),
        peak_latency_ms=np.where(seen, latency, np.nan).astype(np.float32),
        peak_amplitude_uv=np.where(seen, height, np.nan).astype(np.float32),
        sweeps=np.full(recordings, 1000, np.float32),
        frequency_khz=np.full(recordings, 4, np.float32),
        origin="battery",
    )


def make(form: Form, r: Recordings, folder: Path) -> Path:
    """The table as a file of that form, without a look at whether it makes sense."""
    path = folder / NAMES[form]
    WRITERS[form](r, path)
    return path


def _csv(r: Recordings, path: Path) -> None:
    labels = ("threshold_db", "peak_exist", "peak_latency_ms", "peak_amplitude_uv", "sweeps", "frequency_khz")
    names = ["patient", "class", "sampling_rate_hz", *STATIC, *labels, *(f"s{sample}" for sample in range(r.samples))]
    lines = [",".join(names)]
    for row in range(len(r)):
        index = r.hearing_class[row]
        name = r.class_names[index] if 0 <= index < len(r.class_names) else ""
        numbers = [*r.static[row], *(getattr(r, label)[row] for label in labels), *r.signal[row]]
        lines.append(",".join([str(r.patient[row]), name, f"{r.sampling_rate_hz:g}", *(f"{n:.6g}" for n in numbers)]))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _epl(r: Recordings, path: Path) -> None:
    level_L = r.static[:EPL_LEVELS, STATIC.index("intensity_db_nhl")]
    frequency = 4.0 if r.frequency_khz is None else float(r.frequency_khz[0])
    averages = 512 if r.sweeps is None else int(r.sweeps[0])
    rate = float(r.static[0, STATIC.index("rate_per_s")])
    levels = ";".join(f"{level:g}" for level in level_L)
    header = (
        f":RUN-3\tLEVEL SWEEP\r:SW EAR: R\tSW FREQ: {frequency:.2f}\t# AVERAGES: {averages}\t"
        f"REP RATE (/sec): {rate:g}\tSAMPLE (µsec): {1e6 / r.sampling_rate_hz:g}\t\r:NOTES-\r:LEVELS:{levels};\r:DATA\r"
    )
    rows = ["\t".join(f"{value:.6g}" for value in row) for row in r.signal[:EPL_LEVELS].T]
    path.write_bytes((header + "\r\n".join(rows) + "\r\n").encode("latin-1"))


def ihs_arrays(r: Recordings) -> dict[str, Any]:
    """The arrays of the public IHS set."""
    return {
        "waveform_uV": r.signal,
        "time_ms": (np.arange(r.samples) * 1000 / r.sampling_rate_hz).astype(np.float32),
        "level_dB": r.static[:, STATIC.index("intensity_db_nhl")],
        "subject": np.arange(len(r)) // 4 % 3 + 1,
        "sweeps": r.sweeps,
        "expert_thresholds_all": np.array([[10, 30, 20], [20, 40, 20], [0, 35, 25]], np.uint8),
    }


def _ihs(r: Recordings, path: Path) -> None:
    with path.open("wb") as file:
        np.savez_compressed(file, **ihs_arrays(r))


def clinic_content(r: Recordings) -> dict[str, Any]:
    """What the clinic pickles, parameters in their own units."""
    with np.errstate(invalid="ignore"):
        z = (r.signal - r.signal.mean(1, keepdims=True)) / r.signal.std(1, keepdims=True)
    samples = [
        {
            "patient_id": str(r.patient[row]),
            "static_params": r.static[row].astype(float),
            "signal": z[row].astype(float),
            "v_peak": np.nan_to_num([r.peak_latency_ms[row], r.peak_amplitude_uv[row]]),
            "v_peak_mask": np.array([r.peak_exist[row] == 1] * 2),
            "target": np.int64(r.hearing_class[row]),
            "clinical_threshold": float(r.threshold_db[row]),
        }
        for row in range(len(r))
    ]
    return {"data": samples, "scaler": None, "label_encoder": None, "metadata": {}}


WRITERS: Final[Mapping[Form, Callable[[Recordings, Path], None]]] = {
    "npz": FILES[".npz"][1],
    "parquet": FILES[".parquet"][1],
    "csv": _csv,
    "ihs": _ihs,
    "epl": _epl,
    "clinic": lambda r, path: joblib.dump(clinic_content(r), path),
}
"""What writes each form."""
