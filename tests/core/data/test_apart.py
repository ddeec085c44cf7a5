"""Files are opened in a process of their own: what it may take, and what becomes of this one when it dies."""

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import get_args

import joblib
import numpy as np
import pytest

from core.data import apart
from core.data.apart import Kind, open_apart
from core.data.apart_child import OPENERS
from core.data.check import DataMistakes
from core.data.files import read, received, write
from core.data.formats import FORMATS
from core.data.importers import import_recordings
from core.data.many import ManyKind

ROOT = Path(__file__).parents[3]


class Runs:
    """Runs code when it is unpickled."""

    def __init__(self, code: str) -> None:
        self.code = code

    def __reduce__(self):
        return exec, (self.code,)


def clinic(folder: Path, code: str) -> Path:
    joblib.dump(Runs(code), folder / "clinic.pkl")
    return folder / "clinic.pkl"


def told(*files: Path, kind: Kind = "clinic") -> str:
    with pytest.raises(DataMistakes) as caught:
        open_apart(kind, files)
    assert caught.value.source == str(files[0])
    return str(caught.value)


def test_every_kind_is_opened():
    assert set(OPENERS) == set(get_args(Kind)) == {"table", *get_args(ManyKind), *FORMATS}


@pytest.mark.parametrize("suffix", [".npz", ".parquet"])
def test_a_table_is_the_same_that_was_written(tmp_path, bump_recordings, suffix):
    table = replace(bump_recordings(7), notes=("mind",), facts={"a": 1.5}, origin="here")
    write(table, tmp_path / f"t{suffix}")
    back = read(tmp_path / f"t{suffix}")
    assert back.fingerprint() == table.fingerprint()
    assert (back.notes, back.facts, back.origin) == (table.notes, table.facts, table.origin)


def test_a_process_that_takes_too_much_is_a_message(tmp_path, monkeypatch):
    monkeypatch.setattr(apart, "MOST_MEMORY", apart.LEAST_MEMORY)
    assert "needed more than the 2.0 GiB of memory" in told(clinic(tmp_path, "bytearray(3 * 2**30)"))


@pytest.mark.parametrize(
    "code",
    [
        "while True: pass",
        "import signal; signal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True: pass",
        "import time; time.sleep(60)",
    ],
    ids=["busy", "deaf", "idle"],
)
def test_a_process_that_never_ends_is_ended(tmp_path, monkeypatch, code):
    """Whichever is over first, its time or that of the processor, it is told as time."""
    monkeypatch.setattr(apart, "SECONDS", 2)
    began = time.monotonic()
    assert "took longer than 2 s" in told(clinic(tmp_path, code))
    assert time.monotonic() - began < 30


def test_the_processor_s_time_is_over_before_the_clock_s(tmp_path, monkeypatch):
    """As of a reader with several threads: the system ends it, not this process, whose clock is slow here."""
    run, began = apart._run, time.monotonic()
    monkeypatch.setattr(apart, "SECONDS", 1)
    monkeypatch.setattr(apart, "_run", lambda *args: run(*args[:-1], 100))
    assert "took longer than 1 s" in told(clinic(tmp_path, "while True: pass"))
    assert time.monotonic() - began < 90


def test_a_crash_is_placed(tmp_path):
    said = told(clinic(tmp_path, "import ctypes; ctypes.string_at(0)"))
    assert "the process that read the pickle was ended by SIGSEGV" in said


def test_what_a_pickle_prints_is_no_answer(tmp_path):
    code = "import os; print('{\"header\": {}, \"arrays\": []}'); os.write(1, b'{}'); os._exit(0)"
    assert "died" in told(clinic(tmp_path, code))


def test_checks_switched_off_in_the_process_are_made_in_this_one(tmp_path, bump_recordings):
    r = bump_recordings(8)
    samples = [
        {
            "patient_id": str(row),
            "static_params": [-5.0 if row == 3 else 5.0, 60, 33, 1],
            "signal": (r.signal[row] - r.signal[row].mean()) / r.signal[row].std(),
            "v_peak": [6.0, 0.3],
            "v_peak_mask": [True, True],
            "target": 1,
        }
        for row in range(8)
    ]
    off = Runs("import core.data.check as check; check.find_problems = lambda recordings: ()")
    joblib.dump({"data": samples, "extra": off}, tmp_path / "clinic.pkl")
    with pytest.raises(DataMistakes, match="recording 3, age_years: -5 is outside"):
        import_recordings("clinic", [tmp_path / "clinic.pkl"], trust_pickle=True)


def test_a_table_sent_by_another_process_is_checked_again(tmp_path, bump_recordings):
    write(bump_recordings(4), tmp_path / "t.npz")
    answer = open_apart("table", [tmp_path / "t.npz"])
    assert len(received(answer, "t")) == 4
    for name, value in (("patient", np.zeros(4)), ("threshold_db", np.full(4, 999.0)), ("static", np.zeros((4, 3)))):
        with pytest.raises(DataMistakes, match=name):
            received(replace(answer, arrays={**answer.arrays, name: value}), "t")
    with pytest.raises(DataMistakes, match="unit is '3', not text"):
        received(replace(answer, header={**answer.header, "unit": 3}), "t")


def test_a_file_that_changes_while_it_is_read(tmp_path, bump_recordings):
    write(bump_recordings(4), tmp_path / "t.npz")
    code = f"import os; os.truncate({str(tmp_path / 'clinic.pkl')!r}, 3)"
    joblib.dump({"data": [{}], "extra": Runs(code)}, tmp_path / "clinic.pkl")
    assert "lacks patient_id" in told(tmp_path / "clinic.pkl")  # what was found counts first
    good = {"patient_id": 1, "signal": [0, 1.0], "target": 0, "static_params": [1, 2, 3, 4]}
    content = {"data": [good | {"v_peak": [0, 0], "v_peak_mask": [0, 0]}], "extra": Runs(code)}
    joblib.dump(content, tmp_path / "clinic.pkl")
    assert "the file was changed while it was read" in told(tmp_path / "clinic.pkl")


def test_the_process_ends_with_the_one_that_asked(tmp_path):
    code = "import os, pathlib, time; pathlib.Path('pid').write_text(str(os.getpid())); time.sleep(60)"
    clinic(tmp_path, code)
    ask = "from pathlib import Path; from core.data.apart import open_apart; open_apart('clinic', [Path('clinic.pkl')])"
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    parent = subprocess.Popen([sys.executable, "-c", ask], cwd=tmp_path, env=env)
    _wait_for((tmp_path / "pid").exists)
    parent.kill()
    parent.wait()
    child = Path(f"/proc/{(tmp_path / 'pid').read_text()}/stat")
    _wait_for(lambda: not child.exists() or child.read_text().split()[2] == "Z")


def test_the_process_imports_no_training_library(tmp_path, bump_recordings):
    write(bump_recordings(4), tmp_path / "t.parquet")
    program = ROOT / "core/data/apart_child.py"
    command = [sys.executable, "-P", "-X", "importtime", str(program), "table", str(2**33), "60", "t.parquet"]
    with (tmp_path / "answer").open("wb") as answer:
        done = subprocess.run(command, cwd=tmp_path, stdout=answer, stderr=subprocess.PIPE, check=True)
    assert json.loads((tmp_path / "answer").read_bytes().partition(b"\n")[0])["header"]["version"] == 1
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.decode().splitlines()}
    assert "pyarrow" in imported
    assert not imported & {"torch", "pandas", "sklearn", "scipy", "ray", "optuna", "pydantic"}


def _wait_for(happened) -> None:
    until = time.monotonic() + 30
    while not happened():
        assert time.monotonic() < until
        time.sleep(0.02)
