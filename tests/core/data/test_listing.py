"""Which files a data set has: folders, names, a table; every mistake says what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.data.check import DataMistakes
from core.data.listing import listed, name_pattern


def touch(*files: Path) -> None:
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()


def test_each_folder_is_a_class(tmp_path: Path) -> None:
    touch(tmp_path / "b c" / "2.wav", tmp_path / "b c" / "deep" / "1.WAV", tmp_path / "a" / "x.wav")
    touch(tmp_path / "a" / "notes.txt", tmp_path / ".hidden" / "y.wav", tmp_path / "a" / ".z.wav")
    found = listed(tmp_path, (".wav",))
    assert [(each.name, each.class_name, each.group) for each in found] == [
        ("a/x.wav", "a", "a/x.wav"),
        ("b c/2.wav", "b c", "b c/2.wav"),
        ("b c/deep/1.WAV", "b c", "b c/deep/1.WAV"),
    ]


def test_names_say_class_and_group(tmp_path: Path) -> None:
    touch(tmp_path / "0_george_11.wav", tmp_path / "7_lucas_0.wav")
    whole = listed(tmp_path, (".wav",), names="{class}_{take}.wav")
    assert [(each.class_name, each.group) for each in whole] == [
        ("0_george", "0_george_11.wav"),
        ("7_lucas", "7_lucas_0.wav"),
    ]
    digits = listed(tmp_path, (".wav",), names="{class}_{group}_{take}.wav")
    assert [(each.class_name, each.group) for each in digits] == [("0", "george"), ("7", "lucas")]


@pytest.mark.parametrize("names", ["{take}.wav", "{class}_{class}.wav", "plain"])
def test_a_pattern_without_one_class_is_refused(names: str) -> None:
    with pytest.raises(ValueError, match=r"must hold \{class\}"):
        name_pattern(names)


def test_dots_and_brackets_in_a_pattern_stand_for_themselves() -> None:
    assert name_pattern("({class}).wav").fullmatch("(a).wav")
    assert not name_pattern("({class}).wav").fullmatch("(a)xwav")


def test_a_table_names_files_classes_and_groups(tmp_path: Path) -> None:
    touch(tmp_path / "p" / "1.png", tmp_path / "2.png")
    table = tmp_path / "table.csv"
    table.write_text("\ufeffpath,class,group,more\np/1.png,İTİK,anna,1\n2.png,b,,2\n", encoding="utf-8")
    assert [(each.name, each.class_name, each.group) for each in listed(table, (".png",))] == [
        ("p/1.png", "İTİK", "anna"),
        ("2.png", "b", "2.png"),
    ]


def test_every_wrong_row_is_told_with_its_line(tmp_path: Path) -> None:
    touch(tmp_path / "1.png")
    table = tmp_path / "table.csv"
    table.write_text("path,class\n1.png,a\ngone.png,a\n1.png,\n1.png,b\n", encoding="utf-8")
    with pytest.raises(DataMistakes) as caught:
        listed(table, (".png",))
    assert [(problem.line, problem.message) for problem in caught.value.problems] == [
        (3, "there is no file gone.png"),
        (4, "path or class is empty"),
        (5, "1.png is listed already, in line 2"),
    ]


@pytest.mark.parametrize(
    ("content", "says"), [("file,label\n", "no column path"), ("", "its first line says nothing"), ("path\n", "class")]
)
def test_a_table_without_its_columns_is_refused(tmp_path: Path, content: str, says: str) -> None:
    table = tmp_path / "table.csv"
    table.write_text(content, encoding="utf-8")
    with pytest.raises(DataMistakes, match=says):
        listed(table, (".png",))


def test_an_empty_class_an_empty_folder_and_no_folder_are_told(tmp_path: Path) -> None:
    with pytest.raises(DataMistakes, match=r"no such folder or table; give a folder"):
        listed(tmp_path / "gone", (".png",))
    with pytest.raises(DataMistakes, match=r"no files that end in \.png; each class needs a folder"):
        listed(tmp_path, (".png",))
    touch(tmp_path / "a" / "1.png")
    with pytest.raises(DataMistakes, match="it is neither a folder nor a table"):
        listed(tmp_path / "a" / "1.png", (".png",))
    (tmp_path / "b").mkdir()
    with pytest.raises(DataMistakes, match=r"b: the class b is empty; files end in \.png"):
        listed(tmp_path, (".png",))


def test_a_name_unlike_the_others_is_told(tmp_path: Path) -> None:
    touch(tmp_path / "0_george_1.wav", tmp_path / "readme.wav")
    with pytest.raises(DataMistakes, match=r"readme\.wav.*does not look like"):
        listed(tmp_path, (".wav",), names="{class}_{take}.wav")
