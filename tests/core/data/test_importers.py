import os
import re
import signal
from pathlib import Path
from typing import get_args

import joblib
import numpy as np
import pytest
from sklearn.preprocessing import LabelEncoder, StandardScaler

from core.data.check import DataMistakes
from core.data.formats import FORMATS, Format
from core.data.importers import IMPORTERS, READERS, csv as csv_importer, import_recordings
from core.data.importers.clinic import CLASS_NAMES
from core.data.importers.csv import COLUMNS, read_csv
from core.data.importers.epl import read_epl
from core.data.importers.ihs import INDEPENDENT_SWEEPS, expert_agreement, read_ihs
from core.data.recordings import STATIC, Recordings

SHARED = Path(__file__).parents[3].parent / "shared/data"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason=f"the public recordings are not in {SHARED}")


def mistakes(kind: Format, *files: Path, trust_pickle: bool = False) -> str:
    """Told by the reader in this process; a pickle is opened in the other one, as always."""
    reader = READERS.get(kind, lambda files: import_recordings(kind, files, trust_pickle=trust_pickle))
    with pytest.raises(DataMistakes) as caught:
        reader(files)
    return str(caught.value)


def level(recordings: Recordings) -> np.ndarray:
    return recordings.static[:, STATIC.index("intensity_db_nhl")]


def test_every_format_is_imported_and_described():
    assert set(IMPORTERS) == set(FORMATS) == set(get_args(Format))


@pytest.mark.parametrize("kind", get_args(Format))
def test_every_importer_names_files_it_cannot_read(kind, tmp_path):
    (tmp_path / "empty").touch()
    (tmp_path / "letter").write_text("Dear audiologist,\nplease find enclosed\n")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name, said in (
        ("absent", "no such file"),
        ("link", "no such file; it is a link to something that is gone"),
        ("", "a folder, not a file"),
        ("empty", "the file is empty"),
        ("pipe", "a pipe, socket or device, not a file"),
        ("x" * 300, "no file can be read here (File name too long)"),
        ("letter", str(tmp_path / "letter")),
    ):
        with pytest.raises(DataMistakes) as caught:
            import_recordings(kind, [tmp_path / name], trust_pickle=True)
        assert said in str(caught.value)


def test_a_file_given_twice_is_refused(tmp_path):
    file = written(tmp_path, CSV)
    (tmp_path / "same.csv").symlink_to(file)
    with pytest.raises(DataMistakes, match="given twice, also as"):
        import_recordings("csv", [file, tmp_path / "same.csv"])


# --- CSV ---

CSV = """patient,class,sampling_rate_hz,intensity_db_nhl,threshold_db,peak_exist,peak_latency_ms,s2,s1,s0,age_years
anna,İTİK,1000,60,,1,1.5,0.3,0.2,0.1,0
anna,NORMAL,1000,40,20,0,,0.1,0.3,0.2,NA
bora,,1000,,35,,2.5,0.2,0.2,0.4,3
"""


def written(folder: Path, text: str, name: str = "t.csv", encoding: str = "utf-8") -> Path:
    (folder / name).write_text(text, encoding=encoding)
    return folder / name


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_csv_with_columns_in_any_order(tmp_path, encoding):
    table = import_recordings("csv", [written(tmp_path, CSV, encoding=encoding)])
    np.testing.assert_array_equal(
        table.signal, np.array([[0.1, 0.2, 0.3], [0.2, 0.3, 0.1], [0.4, 0.2, 0.2]], np.float32)
    )
    assert (table.sampling_rate_hz, table.unit) == (1000.0, "uV")
    assert table.patient.tolist() == ["anna", "anna", "bora"]
    assert table.class_names == ("NORMAL", "İTİK")
    assert table.hearing_class.tolist() == [1, 0, -1]
    np.testing.assert_array_equal(table.threshold_db, [np.nan, 20, 35])
    np.testing.assert_array_equal(table.peak_exist, [1, 0, 1])  # bora's latency says that the wave is visible
    np.testing.assert_array_equal(table.peak_latency_ms, [1.5, np.nan, 2.5])
    np.testing.assert_array_equal(table.static[:, 0], [0, np.nan, 3])
    assert np.isnan(table.peak_amplitude_uv).all()
    assert table.sweeps is None


def test_samples_are_in_the_order_of_time_not_of_their_names(tmp_path):
    names = [f"s{number}" for number in range(12)]
    text = "\n".join([",".join(["patient", "sampling_rate_hz", *names]), ",".join(map(str, ["a", 1000, *range(12)]))])
    np.testing.assert_array_equal(read_csv([written(tmp_path, text)]).signal, [np.arange(12)])


def test_the_documented_columns_are_those_that_are_read():
    first_cells = "".join(line.split("|")[1] for line in csv_importer.__doc__.splitlines() if line.startswith("| `"))
    documented = set(re.findall(r"`([a-z_]+)`", first_cells))
    assert documented == set(COLUMNS)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("threshold_db", "treshold_db", "line 1: unknown column 'treshold_db'; did you mean threshold_db?"),
        ("age_years", "shoe_size", "line 1: unknown column 'shoe_size'; known are patient,"),
        ("patient,", "owner,", "line 1: the column patient is missing"),
        ("s1,", "s7,", "line 1: the column s1 is missing"),
        ("\nbora,,1000", "\nbora,,2000", "line 4: sampling_rate_hz: 1000 at first, 2000 here"),
        (",0.2,0.2,0.4", ",0.2,x7,0.4", "line 4: s1: 'x7' is not a number"),
        (",0.2,0.2,0.4", ",0.2,,0.4", "line 4: s1: the number is missing"),
        (",35,", ",thirty,", "line 4: threshold_db: 'thirty' is not a number"),
        ("\nbora", "\n", "line 4: patient: the patient is missing"),
        ("\nbora,,1000,", "\nbora,,1000,400", "line 4: intensity_db_nhl: 400 is outside"),
        (",2.5,", ",7500,", "line 4: peak_latency_ms: 7500 ms is outside the sweep"),
        ("1.5,0.3", "0.3", "line 2: 10 cells, but the header names 11 columns"),
        ("NA\n", "NA,9\n", "line 3: 12 cells, but the header names 11 columns"),
        ("s1,", "s2,", "line 1: the column 's2' stands 2 times in the header"),
        ("s1,", ",,", "line 1: 2 columns have no name; delete the empty columns"),
        ("\nbora,,", "\nbora,#DIV/0!,", "line 4: class: what a spreadsheet writes where a formula failed"),
        ("Threshold_db".lower(), " Threshold_dB", "unknown column ' Threshold_dB'; did you mean threshold_db?"),
        ("s1,", "s999999999,", "line 1: the column s1 is missing"),
        (",35,", ',"35,5",', "line 4: threshold_db: '35,5' is not a number; write numbers with a decimal point"),
        ("\nbora,,1000", '\nbora,,"1,000"', "line 4: sampling_rate_hz: '1,000' is not a number; write numbers"),
        ("\nbora,,", "\nbora,Normal ,", "line 4: class: 'Normal ' and 'NORMAL' differ only in case or spaces; spell"),
        ("\nbora", "\nbo\0ra", "line 4: a zero byte stands here"),
        (CSV, CSV.partition("\n")[0], "there are no recordings; only the header is there"),
        (CSV, CSV.partition("\n")[2], "line 1: unknown column 'anna'"),
        (CSV, "1,2,3\n4,5,6\n", "line 1: the first line holds numbers; it must name the columns"),
    ],
)
def test_csv_mistakes_are_named_with_line_and_column(tmp_path, before, after, said):
    assert before in CSV
    assert said in mistakes("csv", written(tmp_path, CSV.replace(before, after, 1)))


def test_lines_are_counted_as_an_editor_does(tmp_path):
    text = CSV.replace("\nbora,", '\n\n"bo\nra",').replace(",35,", ",thirty,")  # a blank line, a line break in quotes
    assert "line 6: threshold_db: 'thirty'" in mistakes("csv", written(tmp_path, text))
    assert len(read_csv([written(tmp_path, CSV + "\n\n")])) == 3


def test_csv_mistakes_are_told_all_at_once(tmp_path):
    text = CSV.replace(",35,", ",thirty,").replace("age_years", "agee_years").replace("0.3,0.2,0.1,0", "x,0.2,0.1,0")
    told = mistakes("csv", written(tmp_path, text))
    assert len(told.splitlines()) == 3
    assert all(part in told for part in ("did you mean age_years?", "line 4: threshold_db", "line 2: s2"))


def test_csv_in_volts_is_noticed(tmp_path):
    text = re.sub(r",0\.(\d)", r",\1e-7", CSV)
    assert "are they in volts or millivolts?" in mistakes("csv", written(tmp_path, text))


@pytest.mark.parametrize(("unit", "factor"), [("V", 1e-6), ("mV", 1e-3), ("nV", 1e3), ("µV", 1)])
def test_csv_in_another_unit_that_it_names_is_converted(tmp_path, unit, factor):
    header, *rows = re.sub(r",(0\.\d)", lambda cell: f",{float(cell[1]) * factor:.7g}", CSV).splitlines()
    text = "\n".join([f"{header},unit", *(f"{row},{unit}" for row in rows)])
    table = read_csv([written(tmp_path, text)])
    np.testing.assert_allclose(table.signal[0], [0.1, 0.2, 0.3], rtol=1e-6)
    assert table.unit == "uV"
    assert table.notes == (() if unit == "µV" else (f"Samples converted from {unit} to microvolts.",))


def test_csv_in_a_unit_nobody_knows(tmp_path):
    header, *rows = CSV.splitlines()
    text = "\n".join([f"{header},unit", *(f"{row},volt" for row in rows)])
    assert "line 2: unit: no unit that is known; known are uV, µV" in mistakes("csv", written(tmp_path, text))


def test_csv_with_a_cell_too_many_in_every_row_is_not_shifted(tmp_path):
    header, *rows = CSV.splitlines()
    text = "\n".join([header, *(row + ",9" for row in rows)]) + "\n"
    assert "line 2: 12 cells, but the header names 11 columns" in mistakes("csv", written(tmp_path, text))


def test_csv_with_semicolons_or_another_encoding(tmp_path):
    assert "save it with commas" in mistakes("csv", written(tmp_path, CSV.replace(",", ";")))
    assert "save it as CSV UTF-8" in mistakes("csv", written(tmp_path, CSV, encoding="cp1254"))


def test_several_csv_files_make_one_table_with_all_classes(tmp_path):
    other = CSV.replace("NORMAL", "SNİK").replace("anna", "cem")
    table = read_csv([written(tmp_path, CSV, "a.csv"), written(tmp_path, other, "b.csv")])
    assert table.class_names == ("NORMAL", "SNİK", "İTİK")
    assert table.hearing_class.tolist() == [2, 0, -1, 2, 1, -1]
    longer = written(tmp_path, CSV.replace(",1000,", ",1100,"), "c.csv")
    assert "sampling_rate_hz is 1100.0, but 1000.0 in" in mistakes("csv", tmp_path / "a.csv", longer)


# --- the clinic's pickle ---


@pytest.fixture
def clinic() -> dict:
    """Samples as the clinic's preparation writes them: statics and signal standardised, absent peaks 0."""
    random, count = np.random.default_rng(0), 60
    static = np.column_stack(
        [
            random.integers(0, 5, count),
            random.integers(0, 11, count) * 10,
            random.normal(33.7, 3, count),
            random.gamma(2, 2, count),
        ]
    ).astype(float)
    scaler = StandardScaler().fit(static)
    wave = random.normal(size=(count, 200))
    wave = (wave - wave.mean(1, keepdims=True)) / wave.std(1, keepdims=True)
    rows = []
    for row in range(count):
        mask = np.array([row % 3 > 0, row % 3 > 0])
        peak = np.array([7.5, 0.2]) * mask
        rows.append(
            {
                "patient_id": 100 + row // 4,
                "static_params": scaler.transform(static[[row]])[0],
                "signal": wave[row],
                "v_peak": peak,
                "v_peak_mask": mask,
                "target": np.int64(row % 5),
                "clinical_threshold": float(20 + row % 5),
            }
        )
    return {"rows": rows, "static": static, "scaler": scaler, "wave": wave}


def pickled(folder: Path, content: object) -> Path:
    joblib.dump(content, folder / "clinic.pkl")
    return folder / "clinic.pkl"


def whole(clinic, **changes) -> dict:
    encoder = LabelEncoder().fit(np.array(["TOTAL", "İTİK", "NORMAL", "SNİK", "NÖROPATİ"]))
    return {"data": clinic["rows"], "scaler": clinic["scaler"], "label_encoder": encoder, "metadata": {}, **changes}


def test_clinic_pickle(tmp_path, clinic):
    table = import_recordings("clinic", [pickled(tmp_path, whole(clinic))], trust_pickle=True)
    assert (len(table), table.samples, table.sampling_rate_hz, table.unit) == (60, 200, 15_000.0, "z")
    np.testing.assert_allclose(table.static, clinic["static"], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(table.signal, clinic["wave"], rtol=1e-6)
    assert table.class_names == ("NORMAL", "NÖROPATİ", "SNİK", "TOTAL", "İTİK") == CLASS_NAMES
    assert table.hearing_class.tolist() == [0, 1, 2, 3, 4] * 12
    assert table.patient[:5].tolist() == ["100", "100", "100", "100", "101"]
    np.testing.assert_array_equal(table.peak_exist[:3], [0, 1, 1])
    np.testing.assert_array_equal(table.peak_latency_ms[:3], np.array([np.nan, 7.5, 7.5], np.float32))
    np.testing.assert_array_equal(table.peak_amplitude_uv[:3], np.array([np.nan, 0.2, 0.2], np.float32))
    np.testing.assert_array_equal(table.threshold_db[:3], [20, 21, 22])
    assert "derived from class" in " ".join(table.notes)


def test_clinic_pickle_with_plain_static_parameters_and_no_encoder(tmp_path, clinic):
    for row, static in zip(clinic["rows"], clinic["static"], strict=True):
        row["static_params"] = static
        del row["clinical_threshold"]
    table = import_recordings("clinic", [pickled(tmp_path, {"data": clinic["rows"]})], trust_pickle=True)
    np.testing.assert_allclose(table.static, clinic["static"], rtol=1e-6)
    assert table.class_names == CLASS_NAMES
    assert np.isnan(table.threshold_db).all()


def test_standardised_parameters_without_a_scaler_are_refused(tmp_path, clinic):
    told = mistakes("clinic", pickled(tmp_path, whole(clinic, scaler=None)), trust_pickle=True)
    assert "static_params are standardised" in told


def test_flat_recordings_are_left_out_and_counted_and_late_peaks_are_kept(tmp_path, clinic):
    clinic["rows"][5]["signal"] = np.zeros(200)
    clinic["rows"][1]["v_peak"] = np.array([18.47, 0.2])  # the clinic's latest; the stored samples end at 13.3 ms
    table = import_recordings("clinic", [pickled(tmp_path, whole(clinic))], trust_pickle=True)
    assert len(table) == 59
    assert table.hearing_class[5] == 1  # the sample after the one left out
    assert (table.peak_exist[1], table.peak_latency_ms[1]) == (1, np.float32(18.47))
    assert "1 flat recordings were left out." in table.notes


class Runs:
    """Runs a function when it is unpickled."""

    def __init__(self, function, *arguments) -> None:
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


def test_an_untrusted_pickle_is_never_opened(tmp_path):
    file = pickled(tmp_path, Runs(Path.touch, tmp_path / "fired"))
    assert "--trust-pickle" in mistakes("clinic", file)
    assert not (tmp_path / "fired").exists()
    mistakes("clinic", file, trust_pickle=True)
    assert (tmp_path / "fired").exists(), "the pickle of this test does nothing, so the test shows nothing"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (Runs(os.abort), "was ended by SIGABRT"),
        (Runs(signal.raise_signal, signal.SIGKILL), "was ended by SIGKILL; probably out of memory"),
        (Runs(os._exit, 7), "died: no message"),
        (Runs(os._exit, 0), "died: no message"),
        (Runs(int, "x"), "died: ValueError"),
        ([1, 2], "expected a dictionary with a list of samples under 'data', found list"),
        ({"data": []}, "expected a dictionary with a list of samples"),
        (
            {"data": [{"signal": np.ones(3)}]},
            "recording 0: lacks patient_id, target, static_params, v_peak, v_peak_mask",
        ),
        ({"data": [3]}, "recording 0: is no dictionary"),
    ],
)
def test_a_pickle_that_kills_its_reader_or_holds_something_else(tmp_path, content, said):
    assert said in mistakes("clinic", pickled(tmp_path, content), trust_pickle=True)


def test_a_truncated_pickle_and_samples_of_different_length(tmp_path, clinic):
    file = pickled(tmp_path, whole(clinic))
    file.write_bytes(file.read_bytes()[:2000])
    assert "the process that read the pickle up to byte 2000 of 2000 died: EOFError" in mistakes(
        "clinic", file, trust_pickle=True
    )
    clinic["rows"][7]["signal"] = np.ones(199)
    told = mistakes("clinic", pickled(tmp_path, whole(clinic)), trust_pickle=True)
    assert "recording 7, signal: 199 values, not 200" in told


def test_one_data_set_is_one_file(tmp_path, clinic):
    file = pickled(tmp_path, whole(clinic))
    assert "takes one file" in mistakes("clinic", file, file, trust_pickle=True)


# --- the IHS human set ---

IHS = SHARED / "ihs_human/human_ihs_abr.npz"


@needs_shared
def test_ihs_experts_agree_as_published():
    agreement = expert_agreement(IHS)
    assert (agreement.mean_difference_db, agreement.within_5_db, agreement.within_10_db) == (4.875, 0.75, 0.95)
    assert (agreement.experts, agreement.subjects) == (5, 8)


@needs_shared
def test_ihs_recordings():
    table = import_recordings("ihs", [IHS])
    assert (len(table), table.samples, table.sampling_rate_hz, table.unit) == (777, 495, 20_000.0, "uV")
    # Readings of P3: 10 10 5 15 10; P6: 5 5 5 5 0; P8: 30 30 35 30 20.
    medians = {"P3": 10, "P6": 5, "P8": 30}
    for patient, median in medians.items():
        of = table.patient == patient
        assert set(table.threshold_db[of].tolist()) == {median}
        np.testing.assert_array_equal(table.peak_exist[of], level(table)[of] >= median)
    assert set(table.patient.tolist()) == set(medians)
    assert table.facts["experts/mean_difference_db"] == 4.875
    assert any("leave one subject out" in note for note in table.notes)
    assert np.isnan(table.peak_latency_ms).all()
    assert table.class_names == ()


@needs_shared
def test_ihs_sub_averages_are_kept_and_the_independent_ones_can_be_told():
    table = read_ihs([IHS])
    assert np.isin(table.sweeps, INDEPENDENT_SWEEPS).sum() == 37 * 9  # 37 subject-levels, 3 of each size
    raw = np.load(IHS, allow_pickle=False)
    chosen = np.isin(raw["subavg_index"], [0, 1, 2, 3, 4, 5, 9, 10, 11])
    np.testing.assert_array_equal(np.isin(table.sweeps, INDEPENDENT_SWEEPS), chosen)


@needs_shared
def test_ihs_wave_v_stands_where_a_stimulus_at_sample_0_puts_it():
    table = read_ihs([IHS])
    loud = (table.patient == "P8") & (level(table) == 60)
    mean = table.signal[loud].mean(axis=0)
    late = (table.time_ms > 4.5) & (table.time_ms < 8)
    assert table.time_ms[late][mean[late].argmax()] == pytest.approx(5.9, abs=0.4)  # adult, 60 dB nHL: 5.88 ms


def ihs_arrays(**changes) -> dict:
    time = np.arange(-2, 4) * 0.05
    arrays = {
        "waveform_uV": np.arange(24, dtype=np.float32).reshape(4, 6) % 7 / 10,
        "time_ms": time.astype(np.float32),
        "level_dB": np.array([0, 10, 20, 30], np.float32),
        "subject": np.array([1, 1, 2, 2]),
        "sweeps": np.full(4, 500),
        "expert_thresholds_all": np.array([[10, 30], [20, 40], [0, 35]], np.uint8),
    }
    return {**arrays, **changes}


def saved(folder: Path, **arrays) -> Path:
    with (folder / "ihs.npz").open("wb") as file:
        np.savez(file, **arrays)
    return folder / "ihs.npz"


def test_ihs_samples_before_the_stimulus_are_cut_and_medians_taken(tmp_path):
    table = read_ihs([saved(tmp_path, **ihs_arrays())])
    np.testing.assert_array_equal(table.signal, ihs_arrays()["waveform_uV"][:, 2:])
    assert table.threshold_db.tolist() == [10, 10, 35, 35]
    assert table.peak_exist.tolist() == [0, 1, 0, 0]
    # Pairs differ by 10, 10, 20 dB for subject 1 and 10, 5, 5 dB for subject 2.
    assert table.facts["experts/mean_difference_db"] == pytest.approx(10)
    assert table.facts["experts/within_5_db"] == pytest.approx(2 / 6)
    assert table.facts["experts/within_10_db"] == pytest.approx(5 / 6)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"time_ms": np.arange(1, 7) * 0.05}, "the first sample is 0.05 ms after the stimulus"),
        ({"subject": np.array([1, 1, 2, 9])}, r"no expert thresholds for the subjects [9]"),
        ({"level_dB": np.zeros(3)}, "level_dB: has the wrong length"),
        ({"expert_thresholds_all": np.zeros(3)}, "expert_thresholds_all: has 1 dimensions"),
    ],
)
def test_ihs_mistakes(tmp_path, changes, said):
    assert said in mistakes("ihs", saved(tmp_path, **ihs_arrays(**changes)))


def test_ihs_of_another_npz(tmp_path):
    told = mistakes("ihs", saved(tmp_path, a=np.ones(2)))
    assert "waveform_uV and time_ms and level_dB" in told
    assert "not the IHS human set" in told


# --- EPL text ---

EPL = (
    ":RUN-3\tLEVEL SWEEP\tTEMP:207.44\t4/6/2007\t8:03 AM\t-3852.21HR:\r:SW EAR: R\tSW FREQ: 16.00\t# AVERAGES: 512\t"
    "REP RATE (/sec): 40\tDRIVER: Starship\tSAMPLE (µsec): 10\t\r:NOTES-\r:CHAMBER-412\r:LEVELS:10;20;30;\r:DATA\r"
    " -0.1\t  0.0\t  0.5\r\n  0.2\t  0.0\t -0.5\r\n  0.3\t  0.0\t  1.5\r\n  0.1\t 0.0\t 0.1\r\n\r\n"
)


def epl(folder: Path, text: str = EPL, name: str = "ABR-52-3") -> Path:
    (folder / name).write_bytes(text.encode("latin-1"))
    return folder / name


def test_epl_text(tmp_path):
    table = import_recordings("epl", [epl(tmp_path)])
    np.testing.assert_array_equal(table.signal, np.array([[-0.1, 0.2, 0.3, 0.1], [0.5, -0.5, 1.5, 0.1]], np.float32))
    assert level(table).tolist() == [10, 30]  # the waveform of zeros at 20 dB is left out
    assert "ABR-52-3: 1 waveforms of zeros were left out." in table.notes
    assert (table.sampling_rate_hz, table.unit) == (100_000.0, "uV")
    assert table.static[0, STATIC.index("rate_per_s")] == 40
    assert (table.frequency_khz.tolist(), table.sweeps.tolist()) == ([16.0, 16.0], [512.0, 512.0])
    assert set(table.patient.tolist()) == {f"{tmp_path.name}/52"}
    assert np.isnan(table.threshold_db).all()


def test_several_epl_files_make_one_table_of_the_shortest_length(tmp_path):
    header = EPL.partition(":DATA\r")[0]
    rows = [f"{number % 5 / 10}\t{number % 4}\t{number % 3}" for number in range(21)]
    long = epl(tmp_path, f"{header}:DATA\r" + "\r\n".join(rows), "ABR-52-4")
    short = epl(tmp_path, f"{header.replace('FREQ: 16', 'FREQ: 8')}:DATA\r" + "\r\n".join(rows[:20]), "ABR-53-1")
    table = import_recordings("epl", [long, short])
    assert (len(table), table.samples) == (6, 20)
    assert table.patient.tolist() == [f"{tmp_path.name}/52"] * 3 + [f"{tmp_path.name}/53"] * 3
    assert set(table.frequency_khz.tolist()) == {16.0, 8.0}
    assert "ABR-52-4: cut from 21 to 20 samples, the length of the shortest file." in table.notes
    assert "4 samples 10 µs apart" in mistakes("epl", long, epl(tmp_path))
    other = epl(tmp_path, EPL.replace("sec): 10", "sec): 40"), "ABR-54-1")
    assert "4 samples 40 µs apart" in mistakes("epl", epl(tmp_path), other)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (":RUN-", "RUN-", "not an EPL text file"),
        (":DATA", ":NONE", "not an EPL text file"),
        (":LEVELS:10;20;30;", "", "the header lacks LEVELS"),
        ("SAMPLE (µsec): 10", "", "the header lacks SAMPLE (µsec)"),
        ("  0.3\t", "", "2 numbers, but the header names 3 levels"),
        ("1.5", "x", "could not convert string to float: 'x'"),
    ],
)
def test_epl_mistakes(tmp_path, before, after, said):
    assert before in EPL
    assert said in mistakes("epl", epl(tmp_path, EPL.replace(before, after, 1)))


@needs_shared
def test_epl_files_of_two_laboratories():
    marcotti = sorted((SHARED / "epl_mouse/marcotti").glob("ABR-*"))
    assert len(marcotti) == 10
    table = import_recordings("epl", marcotti)
    assert (len(table), table.samples, table.sampling_rate_hz) == (100, 424, 25_000.0)
    assert set(table.patient.tolist()) == {"marcotti/0", "marcotti/12", "marcotti/13", "marcotti/14"}
    of_threshold = table.patient == "marcotti/0"
    np.testing.assert_array_equal(table.threshold_db[of_threshold], np.float32(37.7))
    assert np.isnan(table.threshold_db[~of_threshold]).all()


@needs_shared
def test_epl_samples_are_microvolts_from_the_stimulus_on():
    # CAP-139-5-16.0kHz-analyzed.txt: at 80 dB P1 at 1.79 ms, P1 to N1 111.5 uV after a 50 Hz high pass.
    table = read_epl([SHARED / "epl_mouse/bburan/CAP-139-5"])
    loudest = table.signal[level(table) == 80][0]
    assert table.time_ms[loudest.argmax()] == pytest.approx(1.79)
    after = loudest[loudest.argmax() :]
    assert loudest.max() - after[:100].min() == pytest.approx(111.5, rel=0.1)
