import json
import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

import joblib
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from abr_tune.cli.data import app
from abr_tune.errors import Exit, FileMistakes, UserError
from core.data.files import read
from core.data.formats import Format

ROOT = Path(__file__).parents[2]
CSV = "patient,class,sampling_rate_hz,s0,s1,s2\n" + "".join(
    f"p{number},{'İTİK' if number % 3 else 'NORMAL'},1000,0.1,0.{number % 7},0.3\n" for number in range(24)
)


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def mistake(*arguments: object) -> str:
    result = call(*arguments)
    assert isinstance(result.exception, UserError), result.output
    assert result.exception.exit is Exit.MISTAKE
    assert result.stdout == ""
    return str(result.exception)


@pytest.fixture
def csv(tmp_path) -> Path:
    (tmp_path / "in.csv").write_text(CSV, encoding="utf-8")
    return tmp_path / "in.csv"


@pytest.mark.parametrize("suffix", [".npz", ".parquet"])
def test_import_then_describe(csv, tmp_path, suffix):
    to = tmp_path / f"out{suffix}"
    done = call("import", "--format", "csv", csv, "--to", to)
    assert done.exit_code == 0, done.exception
    assert done.stdout == ""
    assert f"wrote {to}: 24 recordings of 24 patients" in done.stderr
    described = call("describe", to, "--json")
    assert described.exit_code == 0
    card = json.loads(described.stdout)
    assert card["fingerprint"] == {"all": read(to).fingerprint()}
    assert {
        row["class"] for section in card["sections"] if section["title"] == "Classes" for row in section["rows"]
    } == {
        "NORMAL",
        "İTİK",
    }


def test_describe_in_a_pipe_is_plain_text(csv, tmp_path):
    call("import", "--format", "csv", csv, "--to", tmp_path / "t.npz")
    text = call("describe", tmp_path / "t.npz").stdout
    assert "\x1b" not in text
    assert "majority class" in text
    assert read(tmp_path / "t.npz").fingerprint() in text


def test_describe_in_a_terminal_is_tables(csv, tmp_path, monkeypatch):
    call("import", "--format", "csv", csv, "--to", tmp_path / "t.npz")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "100")
    text = call("describe", tmp_path / "t.npz").stdout
    assert "\x1b" in text
    assert "majority class" in text
    assert max(len(re.sub(r"\x1b\[[0-9;]*m", "", line)) for line in text.splitlines()) <= 100


def test_mistakes_of_a_file_end_with_line_and_hint_and_write_nothing(csv, tmp_path):
    csv.write_text(CSV.replace("s2", "sample2").replace("p3,", ","), encoding="utf-8")
    result = call("import", "--format", "csv", csv, "--to", tmp_path / "out.npz")
    assert isinstance(result.exception, FileMistakes)
    assert [problem.line for problem in result.exception.problems] == [1, 5]
    assert str(result.exception).splitlines()[1] == f"{csv}:5: error: patient: the patient is missing"
    assert not (tmp_path / "out.npz").exists()


def test_places_that_cannot_be_written_are_found_before_the_work(csv, tmp_path):
    assert "files of recordings end in .npz or .parquet" in mistake("import", "--format", "csv", csv, "--to", "out.mat")
    absent = tmp_path / "absent" / "out.npz"
    assert "there is no folder" in mistake("import", "--format", "csv", csv, "--to", absent)
    (tmp_path / "d.npz").mkdir()
    assert "a folder, not a file" in mistake("import", "--format", "csv", csv, "--to", tmp_path / "d.npz")
    npz = csv.rename(tmp_path / "in.npz")
    assert "would overwrite" in mistake("import", "--format", "csv", npz, "--to", npz)
    assert npz.read_text(encoding="utf-8") == CSV


def test_files_that_cannot_be_read(tmp_path):
    (tmp_path / "broken.npz").write_bytes(b"PK\x03\x04 and then nothing")
    assert "no such file" in mistake("describe", tmp_path / "absent.npz")
    assert "a folder, not a file" in mistake("import", "--format", "epl", tmp_path, "--to", tmp_path / "t.npz")
    assert "damaged or cut short" in mistake("describe", tmp_path / "broken.npz")
    assert "data import" in mistake("describe", tmp_path / "letter.txt")


def test_a_pickle_needs_trust(tmp_path):
    joblib.dump({"data": []}, tmp_path / "c.pkl")
    arguments = ("import", "--format", "clinic", tmp_path / "c.pkl", "--to", tmp_path / "t.npz")
    assert "--trust-pickle" in mistake(*arguments)
    assert "list of samples under 'data'" in mistake(*arguments, "--trust-pickle")


def test_make_writes_the_three_splits(tmp_path):
    sizes = ("--train", 90, "--val", 240, "--test", 240, "--seed", 3)
    done = call("make", *sizes, "--to", tmp_path / "sim.npz")
    assert done.exit_code == 0, done.exception
    parts = {part: read(tmp_path / f"sim-{part}.npz") for part in ("train", "val", "test")}
    assert {part: len(recordings) for part, recordings in parts.items()} == {"train": 90, "val": 240, "test": 240}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["sim-test.npz", "sim-train.npz", "sim-val.npz"]
    patients = [set(recordings.patient.tolist()) for recordings in parts.values()]
    assert sum(map(len, patients)) == len(set.union(*patients))
    again = tmp_path / "again"
    again.mkdir()
    call("make", *sizes, "--to", again / "sim.parquet")
    assert read(again / "sim-val.parquet").fingerprint() == parts["val"].fingerprint()


def test_the_simulated_card_stands_beside_the_clinic():
    done = call("describe", "simulated", "--quick", "--json")
    assert done.exit_code == 0, done.exception
    card = json.loads(done.stdout)
    assert set(card["fingerprint"]) == {"train", "val", "test"}
    sections = {section["title"]: section["rows"] for section in card["sections"]}
    compared = {row["quantity"]: row["clinic"] for row in sections["Simulator beside the clinic"]}
    assert compared["wave V latency (ms), mean"] == 7.83
    assert "How hard the classes are" not in sections
    assert "Simulated recordings: no result on them is a result on patients." in str(sections["Mind"])


def test_defaults_in_the_help_are_those_of_the_simulated_data():
    from core.tasks.abr_options import SimulatedData

    text = call("make", "--help").stdout
    for name in ("train", "val", "test", "seed"):
        assert f"({getattr(SimulatedData(), name)})" in text


def test_help_names_every_format():
    text = call("import", "--help").stdout
    assert all(f"{name}:" in text for name in get_args(Format))


@pytest.mark.parametrize("command", [[], ["import"], ["describe"], ["make"]])
def test_help_loads_nothing_heavy(command):
    program = (
        "import sys; from abr_tune.cli.data import app; "
        f"app({[*command, '--help']!r}, standalone_mode=False); "
        "print(sorted({'torch', 'pandas', 'numpy', 'ray', 'sklearn', 'pyarrow'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "Usage:" in done.stdout
    assert done.stderr == "[]\n"


SHARED = ROOT.parent / "shared/data"


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"the public recordings are not in {SHARED}")
def test_the_experts_agreement_travels_from_import_to_card(tmp_path):
    done = call("import", "--format", "ihs", SHARED / "ihs_human/human_ihs_abr.npz", "--to", tmp_path / "ihs.npz")
    assert "differ by 4.9 dB on average, 75% of the pairs by at most 5 dB, 95% by at most 10 dB" in done.stderr
    card = json.loads(call("describe", tmp_path / "ihs.npz", "--json").stdout)
    (facts,) = [section["rows"] for section in card["sections"] if section["title"] == "Came with the data"]
    assert {row["figure"]: row["value"] for row in facts} == {
        "experts/mean_difference_db": 4.875,
        "experts/within_5_db": 0.75,
        "experts/within_10_db": 0.95,
    }
    notes = str(next(section["rows"] for section in card["sections"] if section["title"] == "Mind"))
    assert "Within every patient the level alone decides peak_exist" in notes
    assert np.isclose(next(s["rows"][0]["patients"] for s in card["sections"] if s["title"] == "Recordings"), 3)
