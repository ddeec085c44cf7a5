"""Whatever happens to a file of recordings, it is a table that makes sense or a message with a place; never a crash."""

import base64
import random
import re
import sys
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

ROOT = Path(__file__).parents[3]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from benchmarks.battery.damage import (  # noqa: E402
    ABORTS,
    TEXTS,
    UNITS,
    VALUES,
    bombs,
    cell,
    cut_short,
    flipped,
    in_other_unit,
    rearranged,
    spliced,
)
from benchmarks.battery.data_samples import NAMES, Form, make, table  # noqa: E402
from core.data.check import DataMistakes, find_problems  # noqa: E402
from core.data.files import opened, read, write  # noqa: E402
from core.data.importers import READERS, import_recordings  # noqa: E402
from core.data.recordings import Recordings  # noqa: E402

SHARED = ROOT.parent / "shared/data"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason=f"the public recordings are not in {SHARED}")
HERE = [form for form in get_args(Form) if form != "clinic"]
"""A damaged pickle is opened in a process of its own only: it may run anything."""
TOUGH = [form for form in HERE if form != "parquet"]
"""Readers that no byte brings down; pyarrow ends its process for some (benchmarks/battery/damage.py has two)."""
CHECKED = {"npz", "parquet", "ihs"}
"""Forms with checksums, in which no byte changes unseen."""
REAL = {
    "ihs": SHARED / "ihs_human/human_ihs_abr.npz",
    "epl": SHARED / "epl_mouse/marcotti/ABR-0-2",
}
deterministic = settings(
    derandomize=True, max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def read_here(form: Form, path: Path) -> Recordings:
    return opened(path) if form in {"npz", "parquet"} else READERS[form]([path])


def outcome(form: Form, path: Path) -> Recordings | None:
    """The table, or None when the file is refused as it should be: by its name and a place in it."""
    try:
        found = read_here(form, path)
    except DataMistakes as caught:
        mistakes = caught
    else:
        assert find_problems(found) == ()
        return found
    first = mistakes.problems[0]
    assert mistakes.source == str(path)
    somewhere = first.row is not None or first.line or first.column
    assert somewhere or re.search(r"byte \d|footer|columns? |not an EPL|:DATA|no (samples|recordings)", str(first))
    return None


@pytest.fixture(scope="module")
def sound(tmp_path_factory) -> dict[Form, Path]:
    folder = tmp_path_factory.mktemp("sound")
    return {form: make(form, table(), folder) for form in get_args(Form)}


@pytest.fixture(scope="module")
def prints(sound) -> dict[Form, str]:
    return {form: read_here(form, sound[form]).fingerprint() for form in HERE}


@pytest.mark.parametrize("damage", [flipped, cut_short, spliced])
@given(form=st.sampled_from(TOUGH), seed=st.integers(0, 10**9))
@deterministic
def test_bytes(sound, prints, tmp_path, damage, form, seed):
    path = tmp_path / NAMES[form]
    path.write_bytes(damage(sound[form].read_bytes(), random.Random(seed)))
    found = outcome(form, path)
    assert found is None or form not in CHECKED or found.fingerprint() == prints[form]


@given(form=st.sampled_from(["npz", "parquet", "ihs"]), seed=st.integers(0, 10**9))
@deterministic
def test_arrays(sound, tmp_path, form, seed):
    path = tmp_path / NAMES[form]
    _, content = rearranged(form, sound[form], random.Random(seed))
    path.write_bytes(content)
    outcome(form, path)


@pytest.mark.parametrize(("column", "value", "forms"), VALUES)
def test_values_that_cannot_be_are_named(tmp_path, column, value, forms):
    for form in set(forms) & set(HERE):
        path = make(form, cell(column, 4, value)(table()), tmp_path)
        with pytest.raises(DataMistakes) as caught:
            read_here(form, path)
        first = caught.value.problems[0]
        assert first.line == 6 if form == "csv" else first.row == 4  # a header, and rows are counted from 0
        assert first.column


@pytest.mark.parametrize(("column", "word", "factor", "forms"), UNITS)
def test_other_units_are_recognised(tmp_path, column, word, factor, forms):
    for form in set(forms) & set(HERE):
        path = make(form, in_other_unit(column, factor)(table()), tmp_path)
        with pytest.raises(DataMistakes, match=re.compile(word, re.IGNORECASE)):
            read_here(form, path)


@pytest.mark.parametrize("what", TEXTS)
def test_csv_files_from_editors(sound, prints, tmp_path, what):
    change, harmless = TEXTS[what]
    changed = change(sound["csv"].read_text(encoding="utf-8"))
    path = tmp_path / "t.csv"
    path.write_bytes(changed if isinstance(changed, bytes) else changed.encode())
    found = outcome("csv", path)
    assert (found is not None) == harmless
    assert found is None or found.fingerprint() == prints["csv"]


def test_archives_that_inflate_or_lie(sound, tmp_path):
    contents = bombs(sound["npz"])
    del contents["1 GiB that inflates"]  # that one is for the battery
    assert len(contents) > 5
    for content in contents.values():
        (tmp_path / "t.npz").write_bytes(content)
        assert outcome("npz", tmp_path / "t.npz") is None
    (tmp_path / "t.npz").write_bytes(contents["7.5 GiB that inflate"])
    with pytest.raises(DataMistakes, match=r"signal: the arrays take 7.5 GiB, this one most; 4 GiB are read at most"):
        opened(tmp_path / "t.npz")


def test_no_byte_of_a_parquet_file_changes_unseen(sound, prints, tmp_path):
    path, content = tmp_path / "t.parquet", sound["parquet"].read_bytes()
    draw = random.Random(2)
    aborting = [aborts(content) for aborts in ABORTS]
    for damaged in (*aborting, *(flipped(content, draw) for _ in range(8))):
        path.write_bytes(damaged)
        try:
            found = read(path).fingerprint()
        except DataMistakes as mistakes:
            found = prints["parquet"] if str(path) in str(mistakes) else str(mistakes)
        assert found == prints["parquet"]


def test_a_header_that_was_changed_is_refused(sound, tmp_path):
    content = sound["parquet"].read_bytes()
    schema = re.search(rb"[A-Za-z0-9+/]{400,}=*", content)[0]  # Arrow keeps the header once more, in base64
    other = base64.b64encode(base64.b64decode(schema).replace(b'_hz": 15000.0', b'_hz": 25000.0'))
    assert other != schema
    (tmp_path / "t.parquet").write_bytes(content.replace(schema, other))
    with pytest.raises(DataMistakes, match="abr_tune: the header was changed after it was written"):
        opened(tmp_path / "t.parquet")


def test_pages_that_were_changed_are_refused(sound, tmp_path):
    """Zstandard notices three of five such changes; the checksums of the pages all."""
    content = bytearray(sound["parquet"].read_bytes())
    path = tmp_path / "t.parquet"
    for at in range(100, 1500, 50):  # the first pages hold the signal
        content[at] ^= 0x11
        path.write_bytes(content)
        with pytest.raises(DataMistakes, match="signal: the column is damaged"):
            opened(path)
        content[at] ^= 0x11


@pytest.mark.parametrize("damage", [flipped, cut_short, spliced])
def test_pickles_are_damaged_in_a_process_of_their_own(sound, tmp_path, damage):
    path = tmp_path / "clinic.pkl"
    path.write_bytes(damage(sound["clinic"].read_bytes(), random.Random(3)))
    with pytest.raises(DataMistakes, match=re.escape(str(path))):
        import_recordings("clinic", [path], trust_pickle=True)


@needs_shared
@pytest.mark.parametrize("form", REAL)
@pytest.mark.parametrize("damage", [flipped, cut_short, spliced])
def test_copies_of_real_files(tmp_path, form, damage):
    sane = read_here(form, REAL[form])
    for seed in range(4):
        path = tmp_path / REAL[form].name
        path.write_bytes(damage(REAL[form].read_bytes(), random.Random(seed)))
        found = outcome(form, path)
        assert found is None or form not in CHECKED or found.fingerprint() == sane.fingerprint()


@needs_shared
@pytest.mark.parametrize("suffix", ["npz", "parquet"])
def test_copies_of_real_recordings_in_our_own_files(tmp_path, suffix):
    real = read_here("ihs", REAL["ihs"]).take(np.arange(40))
    path = tmp_path / f"t.{suffix}"
    write(real, path)
    content = path.read_bytes()
    for seed in range(9):
        path.write_bytes((flipped, cut_short, spliced)[seed % 3](content, random.Random(seed)))
        found = outcome(suffix, path)
        assert found is None or found.fingerprint() == real.fingerprint()


@needs_shared
@pytest.mark.parametrize(
    "name", ["bburan/CAP-139-5-16.0kHz-analyzed.txt", "bburan/LICENSE.txt", "../ihs_mouse/mouse_wt01_trials.npz"]
)
def test_real_files_of_another_kind(name):
    path = SHARED / "epl_mouse" / name
    with pytest.raises(DataMistakes, match="not an EPL text file"):
        import_recordings("epl", [path])
    if path.suffix == ".npz":
        with pytest.raises(DataMistakes, match="but no table of recordings"):
            read(path)


@needs_shared
def test_real_recordings_in_volts_and_with_a_hole(tmp_path):
    with np.load(REAL["ihs"]) as archive:
        arrays = dict(archive)
    path = tmp_path / "human_ihs_abr.npz"
    for change, said in (
        ({"waveform_uV": arrays["waveform_uV"] * 1e-6}, "are they in volts"),
        (
            {"waveform_uV": np.where(np.arange(495) == 20, np.nan, arrays["waveform_uV"])},
            "recording 0, signal: sample 20",
        ),
        ({"level_dB": arrays["level_dB"] * 100}, "intensity_db_nhl: "),
        ({"subject": arrays["subject"] + 0.5}, "recording 0, subject: 3.5 is no subject"),
    ):
        np.savez(path, **{**arrays, **change})
        with pytest.raises(DataMistakes, match=said):
            import_recordings("ihs", [path])


def test_a_folder_of_damaged_files_costs_no_more_than_messages(sound, tmp_path):
    for suffix in ("npz", "parquet"):
        path = tmp_path / f"t.{suffix}"
        path.write_bytes(cut_short(sound[suffix].read_bytes(), random.Random(1)))
        with pytest.raises(DataMistakes, match="damaged or cut short"):
            read(path)
