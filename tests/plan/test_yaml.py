"""YAML 1.2 values, places, limits, and writing that reads back unchanged."""

import math
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from abr_tune.errors import FileMistakes
from abr_tune.plan.yaml import BY_HAND, Place, dump, parse, parse_value, read, scalar

texts = st.text(max_size=12) | st.sampled_from(
    [
        "1e-3",
        "no",
        "on",
        "yes",
        "010",
        "0o7",
        "0x1F",
        "~",
        "null",
        "",
        " ",
        "<<",
        "=",
        "true",
        ".inf",
        ".nan",
        "1_0",
        "12:30",
        "2024-01-01",
        "- a",
        "a: b",
        "#",
        "!x",
        "&a",
        "*a",
        "\n",
        "a\nb",
        "\t",
        "é",
        "\x85",
        "\ufeff",
        "😀",
        "1" * 500,
    ]
)
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("1e3", 1000.0),
        ("5.", 5.0),
        (".5", 0.5),
        ("-2", -2),
        ("010", 10),
        ("0o10", 8),
        ("0x1f", 31),
        ("no", "no"),
        ("on", "on"),
        ("yes", "yes"),
        ("off", "off"),
        ("true", True),
        ("True", True),
        ("tRue", "tRue"),
        ("null", None),
        ("~", None),
        ("", None),
        ("1_000", "1_000"),
        ("12:30", "12:30"),
        ("2024-01-01", "2024-01-01"),
        ("-.inf", -math.inf),
        ("'1'", "1"),
        ('"no"', "no"),
        ("[1, 1e-3, no]", [1, 0.001, "no"]),
        ("{log: [1e-5, 3e-3]}", {"log": [1e-5, 3e-3]}),
    ],
)
def test_values_are_those_of_yaml_1_2(text: str, value: object) -> None:
    got = parse_value(text)
    assert got == value
    assert type(got) is type(value)


@given(plain)
def test_what_is_written_reads_back_unchanged(data: object) -> None:
    assert parse(dump(data), "x").data == data


def test_floats_survive_writing_bit_for_bit() -> None:
    numbers = [0.1 + 0.2, 1e-5, 5e-324, 1.7976931348623157e308, 1 / 3]
    assert parse(dump({"n": numbers}), "x").data == {"n": numbers}


def test_a_comment_goes_above_and_paths_and_tuples_are_written_plainly() -> None:
    text = dump({"source": Path("a/b.npz"), "ends": (1, 2)}, comment="one\n\ntwo")
    assert text == "# one\n#\n# two\nsource: a/b.npz\nends: [1, 2]\n"


def test_every_key_and_value_has_its_place() -> None:
    document = parse("a: 1\nb:\n  - {x: yes, y: [1,\n      2]}\n", "f")
    assert document.keys["b",] == Place(2, 1, 1)
    assert document.values["b", 0, "x"] == Place(3, 9, 3)
    assert document.values["b", 0, "y", 1] == Place(4, 7, 1)
    assert document.values["b", 0, "y"] == Place(3, 17, 3)  # what goes on below is underlined to the end of its line


def test_a_problem_points_to_the_nearest_place_there_is() -> None:
    document = parse("a:\n  b: 1\n", "f")
    assert (
        str(document.problem(("a", "c", 3), "c is missing"))
        == "f:2:3: error: c is missing\n    2 |   b: 1\n      |   ^^^^"
    )


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("a: 1\na: 2\n", (2, 1), "a stands here twice"),
        ("a: !!python/object/apply:os.system [x]", (1, 4), "tags such as"),
        ("a: !!str 1", (1, 4), "tags such as"),
        ("a: ! 1", (1, 4), "tags such as"),
        ("a:\n\tb: 1", (2, 1), "a tab cannot indent"),
        ("a: {<<: {b: 1}}", (1, 5), "merge keys are not read"),
        ("a: &x [*x]", (1, 4), "aliases unfold without end"),
        ("? [1, 2]\n: 3", (1, 3), "a key must be plain text"),
        ("a: 1\n---\nb: 2", (2, 1), "more than one document"),
        ("a: [1", (1, 6), "while parsing a flow sequence"),
        ("a: *x", (1, 4), "undefined alias"),
        ("[" * 40, (1, 33), "nested deeper than 32"),
        ("a: \x07", (1, 4), "holds U+0007 (a control character)"),
        ('a: "\\UFFFFFFFF"', (1, 5), "escape that is no character"),
        ("a: " + "1" * 301, (1, 4), "a number of more than 300 digits"),
        ("- &x 1\n" + "- *x\n" * 65, (66, 3), "more than 64 aliases"),
    ],
)
def test_what_is_refused(text: str, place: tuple[int | None, int | None], message: str) -> None:
    try:
        problems = parse(text, "f").problems
    except FileMistakes as mistakes:
        problems = mistakes.problems
    assert (problems[0].line, problems[0].column) == place
    assert message in problems[0].message


def test_few_aliases_cannot_unfold_to_millions_of_values() -> None:
    layers = ["a0: &a0 [0, 0, 0, 0, 0, 0, 0, 0, 0, 0]"]
    layers += [f"a{i}: &a{i} [" + ", ".join([f"*a{i - 1}"] * 9) + "]" for i in range(1, 7)]
    with pytest.raises(FileMistakes, match="more than 10000 keys and values"):
        parse("\n".join(layers), "f")


def test_an_anchor_may_be_used() -> None:
    assert parse("a: &x [1]\nb: *x", "f").data == {"a": [1], "b": [1]}


def test_control_characters_of_a_file_do_not_reach_the_terminal() -> None:
    document = parse('"\\e[31m": 1', "f")
    shown = str(document.problem(("\x1b[31m",), "\x1b[31m is not known", at_key=True))
    assert "\x1b" not in shown


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"a: \xff", "is not UTF-8 text"),
        (b"#" * (BY_HAND.bytes + 1), "is larger than 256 KiB"),
        (None, "there is no such file"),
    ],
    ids=["encoding", "size", "missing"],
)
def test_files_that_cannot_be_read(tmp_path: Path, raw: bytes | None, message: str) -> None:
    file = tmp_path / "x.yaml"
    if raw is not None:
        file.write_bytes(raw)
    with pytest.raises(FileMistakes, match=message):
        read(file)


@given(st.text("abc01-:[]{}#&*!|>'\"% \n\t.,?", max_size=60))
def test_any_text_is_read_or_refused_with_a_message(text: str) -> None:
    with suppress(FileMistakes):
        assert parse(text, "f").file == "f"


def test_scalar_agrees_with_itself_on_infinity() -> None:
    assert scalar("1e999") == math.inf
