"""The clinic's joblib pickle: click recordings of 200 samples at 15 kHz, z-scored, with five classes.

`{"data": [sample, ...], "scaler", "label_encoder", "metadata"}`; a sample has `patient_id`, `static_params` (age,
intensity, stimulus rate, FMP; standardised by `scaler`), `signal`, `v_peak` (latency ms, amplitude µV), `v_peak_mask`,
`target` and `clinical_threshold`. The label encoder sorts the class names by code point.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from core.data.check import DataMistakes, DataProblem, check
from core.data.importers.clinic_child import LAYOUT
from core.data.recordings import STATIC, Recordings

SAMPLING_RATE_HZ: Final = 15_000.0
"""The device's; the stimulus is at sample 0. (A reading of 20 kHz is wrong.)"""
CLASS_NAMES: Final = ("NORMAL", "NÖROPATİ", "SNİK", "TOTAL", "İTİK")
"""Classes by index where the file carries no label encoder; the spelling is data and never case-folded."""


def unpickle_clinic(files: Sequence[Path]) -> Recordings:
    """The recordings in the clinic's pickle. Opening it runs whatever code the file brings: only for trusted files.

    It is opened in a child process, from which only plain arrays come back. Flat recordings, which the clinic's
    preparation writes as zeros, are left out and counted in the notes.

    Raises:
        DataMistakes: the child died, the layout is another, or the values make no sense.
    """
    (file,) = files
    with tempfile.TemporaryDirectory(prefix="abr-tune-") as folder:
        plain = Path(folder) / "plain.npz"
        _open_in_child(file, plain)
        with np.load(plain, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    header = json.loads(str(arrays["header"]))
    return check(_table(file, arrays, header), str(file))


def _open_in_child(file: Path, plain: Path) -> None:
    child = Path(__file__).with_name("clinic_child.py")
    # -P: the child's folder holds modules named like those of the standard library.
    command = [sys.executable, "-P", str(child), str(file.absolute()), str(plain)]
    done = subprocess.run(  # noqa: S603  (our own program; the file is only an argument)
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False
    )
    lines = done.stderr.decode(errors="replace").strip().splitlines() or ["no message"]
    if done.returncode == LAYOUT:
        raise DataMistakes(str(file), [DataProblem(line) for line in lines])
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        hint = "probably out of memory" if name == "SIGKILL" else None
        raise DataMistakes(
            str(file), [DataProblem(f"the process that opened the pickle was ended by {name}", hint=hint)]
        )
    if done.returncode or not plain.exists():
        hint = (
            "install the package it names"
            if "ModuleNotFoundError" in lines[-1]
            else "is it the clinic's joblib file, and whole?"
        )
        raise DataMistakes(str(file), [DataProblem(f"the process that opened the pickle died: {lines[-1]}", hint=hint)])


def _table(file: Path, arrays: dict[str, NDArray[Any]], header: dict[str, Any]) -> Recordings:
    waveform = arrays["signal"].astype(np.float32)
    seen = arrays["v_peak_mask"] != 0
    latency = np.where(seen[:, 0], arrays["v_peak"][:, 0], np.nan)
    amplitude = np.where(seen.all(axis=1), arrays["v_peak"][:, 1], np.nan)
    flat_N = np.ptp(waveform, axis=1) == 0
    recordings = Recordings(
        signal=waveform,
        sampling_rate_hz=SAMPLING_RATE_HZ,
        unit="z",
        patient=arrays["patient"],
        static=_physical(file, arrays["static_params"], header).astype(np.float32),
        class_names=tuple(header["classes"]) or CLASS_NAMES,
        hearing_class=arrays["target"].astype(np.int64),
        threshold_db=arrays["threshold"].astype(np.float32),
        peak_exist=seen[:, 0].astype(np.float32),
        peak_latency_ms=latency.astype(np.float32),
        peak_amplitude_uv=amplitude.astype(np.float32),
        origin="clinic",
        notes=_notes(int(flat_N.sum())),
    )
    return recordings.take(~flat_N)


def _notes(flat: int) -> tuple[str, ...]:
    notes = (
        "Wave V without a label counts as not visible.",
        "The threshold label was derived from class, intensity and wave V plus noise.",
    )
    return (*notes, f"{flat} flat recordings were left out.") if flat else notes


def _physical(file: Path, static_NS: NDArray[np.float64], header: dict[str, Any]) -> NDArray[np.float64]:
    """Static parameters in their own units: the file's standardisation undone, unless it holds them as they are.

    Stimuli come tens of times a second, standardised rates lie around 0. A rate of 0 stands for an unknown one.
    """
    physical = static_NS.copy()
    rate = STATIC.index("rate_per_s")
    if np.median(physical[:, rate]) < 5:
        if len(header["mean"]) != len(STATIC) or len(header["scale"]) != len(STATIC):
            message = "static_params are standardised, but the file holds no scaler to undo it"
            raise DataMistakes(str(file), [DataProblem(message, column="static_params")])
        physical = physical * np.array(header["scale"]) + np.array(header["mean"])
        physical[np.abs(physical) < 1e-5 * np.array(header["scale"])] = 0.0  # a zero that rounding has made negative
    physical[physical[:, rate] == 0, rate] = np.nan
    return physical
