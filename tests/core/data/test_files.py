import zipfile
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import get_args

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra import numpy as hnp
from pyarrow import parquet

from core.data.check import DataMistakes
from core.data.files import FILES, Suffix, opened, read, write
from core.data.header import HEADER
from core.data.recordings import Recordings

SUFFIXES = get_args(Suffix)
words = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=8)


def numbers(low: float, high: float) -> st.SearchStrategy[float]:
    return st.one_of(st.just(np.nan), st.floats(low, high, width=32))


@st.composite
def recordings(draw) -> Recordings:
    count, samples = draw(st.integers(1, 5)), draw(st.integers(2, 6))
    rate = draw(st.sampled_from([15_000.0, 20_000.0, 24_414.0625, 1e5]))
    names = tuple(draw(st.lists(words, max_size=4, unique=True)))

    def column(elements, dtype=np.float32):
        return draw(hnp.arrays(dtype, count, elements=elements))

    def waves():
        table = draw(hnp.arrays(np.float32, (count, samples), elements=st.floats(-1, 1, width=32)))
        table[:, :2] = (-2, 2)
        return table

    exist = column(st.sampled_from([0.0, 1.0, np.nan]))
    latency = column(numbers(0.125, 12))
    bounds = ((-1, 120), (-20, 140), (0.5, 1000), (0, 1e6))
    return Recordings(
        signal=waves(),
        sampling_rate_hz=rate,
        unit=draw(st.sampled_from(["uV", "z"])),
        patient=np.array(draw(st.lists(words, min_size=count, max_size=count))),
        static=np.column_stack([column(numbers(*bound)) for bound in bounds]),
        class_names=names,
        hearing_class=column(st.integers(-1, len(names) - 1), np.int64),
        threshold_db=column(numbers(-20, 140)),
        peak_exist=exist,
        peak_latency_ms=np.where(exist == 1, latency, np.float32(np.nan)),
        peak_amplitude_uv=np.where(exist == 1, column(numbers(0.0078125, 10)), np.float32(np.nan)),
        clean=waves() if draw(st.booleans()) else None,
        weight=column(st.floats(0.0078125, 8, width=32)) if draw(st.booleans()) else None,
        sweeps=column(numbers(1, 1e5)) if draw(st.booleans()) else None,
        frequency_khz=column(numbers(0.5, 64)) if draw(st.booleans()) else None,
        origin=draw(words),
        notes=tuple(draw(st.lists(words, max_size=2))),
        facts=draw(st.dictionaries(words, st.floats(allow_nan=False, allow_infinity=False), max_size=2)),
    )


@pytest.mark.parametrize("suffix", SUFFIXES)
@given(table=recordings())
@settings(max_examples=40, deadline=None)
def test_a_table_survives_its_file(suffix, table):
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"table{suffix}"
        write(table, path)
        back = opened(path)
    assert back.fingerprint() == table.fingerprint()
    assert (back.origin, back.notes, back.facts) == (table.origin, table.notes, table.facts)
    assert set(back.columns()) == set(table.columns())
    for name, values in back.columns().items():
        assert values.dtype.kind == table.columns()[name].dtype.kind
        np.testing.assert_array_equal(values, table.columns()[name])


def test_every_suffix_has_a_reader_and_a_writer():
    assert set(FILES) == set(get_args(Suffix))


@pytest.fixture
def table(bump_recordings) -> Recordings:
    return bump_recordings(6)


def problem_of(path: Path) -> str:
    with pytest.raises(DataMistakes) as caught:
        opened(path)
    assert caught.value.source == str(path)
    return str(caught.value)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_names_are_kept_as_they_are_spelt(tmp_path, table, suffix):
    write(table, tmp_path / f"t{suffix}")
    assert read(tmp_path / f"t{suffix}").class_names[-1] == "İTİK"


def test_other_suffixes_are_refused_both_ways(tmp_path, table):
    (tmp_path / "t.mat").write_text("x")
    assert "end in .npz or .parquet, not in '.mat'" in problem_of(tmp_path / "t.mat")
    assert "data import" in problem_of(tmp_path / "t.mat")
    with pytest.raises(DataMistakes):
        write(table, tmp_path / "t.csv")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_absent_files_folders_and_empty_files(tmp_path, suffix):
    (tmp_path / f"folder{suffix}").mkdir()
    (tmp_path / f"folder{suffix}" / "inside.npz").touch()
    (tmp_path / f"empty{suffix}").touch()
    assert "no such file" in problem_of(tmp_path / f"absent{suffix}")
    assert "a folder, not a file; name a file in it, such as inside.npz" in problem_of(tmp_path / f"folder{suffix}")
    assert "the file is empty" in problem_of(tmp_path / f"empty{suffix}")


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("kept", [0.02, 0.5, 0.98])
def test_a_file_cut_short_is_damaged(tmp_path, table, suffix, kept):
    path = tmp_path / f"t{suffix}"
    write(table, path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    assert "damaged or cut short" in problem_of(path)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_of_something_else_is_said_to_be_that(tmp_path, suffix):
    path = tmp_path / f"t{suffix}"
    path.write_bytes(b"this is a letter to the audiologist" * 10)
    assert "damaged" in problem_of(path)
    if suffix == ".npz":
        with path.open("wb") as file:
            np.savez(file, a=np.ones(3))
    else:
        parquet.write_table(pa.table({"a": [1]}), path)
    assert "no table of recordings" in problem_of(path)


class Fires:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_a_pickle_inside_is_never_opened(tmp_path, table):
    columns = {**table.columns(), "patient": np.array([Fires(tmp_path / "fired")] * 6, dtype=object)}
    write(table, tmp_path / "t.npz")
    with np.load(tmp_path / "t.npz") as archive:
        header = archive[HEADER]
    with (tmp_path / "t.npz").open("wb") as file:
        np.savez(file, allow_pickle=True, **{HEADER: header}, **columns)
    assert "patient: holds Python objects, which only a pickle can store: refused" in problem_of(tmp_path / "t.npz")
    assert not (tmp_path / "fired").exists()


def test_a_pickle_with_the_right_name_is_never_opened(tmp_path):
    import pickle

    (tmp_path / "t.npz").write_bytes(pickle.dumps(Fires(tmp_path / "fired")))
    problem_of(tmp_path / "t.npz")
    assert not (tmp_path / "fired").exists()


def test_missing_columns_are_named(tmp_path, table):
    write(table, tmp_path / "t.npz")
    with zipfile.ZipFile(tmp_path / "t.npz") as whole, zipfile.ZipFile(tmp_path / "part.npz", "w") as part:
        for name in whole.namelist():
            if name not in {"patient.npy", "static.npy"}:
                part.writestr(name, whole.read(name))
    assert "the columns static, patient are missing" in problem_of(tmp_path / "part.npz")


def test_a_later_version_of_the_format_is_refused(tmp_path, table):
    write(table, tmp_path / "t.npz")
    with np.load(tmp_path / "t.npz") as archive:
        arrays = dict(archive)
    arrays[HEADER] = np.array(str(arrays[HEADER]).replace('"version": 1', '"version": 2'))
    with (tmp_path / "t.npz").open("wb") as file:
        np.savez(file, **arrays)
    assert "version 2 of the format" in problem_of(tmp_path / "t.npz")


def test_values_that_make_no_sense_are_refused_on_reading_and_writing(tmp_path, table):
    write(table, tmp_path / "t.parquet")
    inside = parquet.read_table(tmp_path / "t.parquet")
    position = inside.column_names.index("threshold_db")
    inside = inside.set_column(position, "threshold_db", pa.array(np.full(6, 500, np.float32)))
    parquet.write_table(inside, tmp_path / "t.parquet")
    assert "recording 0, threshold_db: 500 is outside" in problem_of(tmp_path / "t.parquet")
    with pytest.raises(DataMistakes, match="500 is outside"):
        write(replace(table, threshold_db=np.full(6, 500, np.float32)), tmp_path / "new.npz")
    assert not (tmp_path / "new.npz").exists()


def test_nulls_that_another_program_wrote_are_missing_values(tmp_path, table):
    write(table, tmp_path / "t.parquet")
    inside = parquet.read_table(tmp_path / "t.parquet")
    for name, value in (("hearing_class", None), ("threshold_db", None), ("age_years", None)):
        position = inside.column_names.index(name)
        inside = inside.set_column(position, name, pa.array([value, *inside.column(name).to_pylist()[1:]]))
    parquet.write_table(inside, tmp_path / "t.parquet")
    back = read(tmp_path / "t.parquet")
    assert back.hearing_class[0] == -1
    assert np.isnan([back.threshold_db[0], back.static[0, 0]]).all()
    np.testing.assert_array_equal(back.hearing_class[1:], table.hearing_class[1:])


def test_recordings_of_different_length_are_refused(tmp_path, table):
    write(table, tmp_path / "t.parquet")
    inside = parquet.read_table(tmp_path / "t.parquet")
    # 100 and 300 samples in turn: as many numbers in all as six recordings of 200
    ragged = pa.array([[0.0, 1.0] * half for half in (50, 150) * 3], pa.list_(pa.float32()))
    inside = inside.set_column(inside.column_names.index("signal"), "signal", ragged)
    parquet.write_table(inside, tmp_path / "t.parquet")
    assert "its recordings differ in length" in problem_of(tmp_path / "t.parquet")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_writing_replaces_whole_files_and_leaves_nothing_behind(tmp_path, table, suffix):
    path = tmp_path / f"t{suffix}"
    path.write_bytes(b"old")
    write(table, path)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    assert len(read(path)) == 6
