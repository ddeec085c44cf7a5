"""What stands at a path, in a line or in a name that no space file should have: told with its place, not obeyed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from abr_tune.errors import FileMistakes, Problem
from abr_tune.plan.load import load_plan
from abr_tune.plan.machine import cards_here
from abr_tune.plan.start import LONGEST_NAME
from abr_tune.plan.yaml import BY_HAND, MOST_MISTAKES, WRITTEN_OUT, parse, read

Small = Callable[..., Path]
Mistakes = Callable[..., tuple[Problem, ...]]


def refused(file: Path) -> Problem:
    with pytest.raises(FileMistakes) as caught:
        read(file)
    [problem] = caught.value.problems
    return problem


@pytest.mark.parametrize(
    ("raw", "message", "place"),
    [
        ("a: é".encode("latin-1"), "is not UTF-8 text: byte 0xe9", (1, 4)),
        ("a: 1\nbä: é".encode() + b"\xff", "is not UTF-8 text: byte 0xff", (2, 6)),
        ("a: 1".encode("utf-16"), "is UTF-16 text, not UTF-8", (1, 1)),
        ("a: 1".encode("utf-32"), "is UTF-32 text, not UTF-8", (1, 1)),
        ("a: 1".encode("utf-16-le"), "holds U+0000 (a control character)", (1, 2)),
        (b"a: 1\rb: \x1b[31m", "holds U+001B (a control character)", (2, 4)),
        ("a: 1\nb: x\u202ey".encode(), "holds U+202E (right-to-left override)", (2, 5)),
        (b'a: "\\x1b[31m"', "holds U+001B (a control character)", (1, 4)),
        (b'a: "\\ud800"', "holds U+D800 (half of a character)", (1, 4)),
        ("a\u200bb: 1".encode(), "this key holds U+200B (zero width space), which cannot be seen", (1, 1)),
    ],
)
def test_other_encodings_and_characters_nobody_sees(
    tmp_path: Path, raw: bytes, message: str, place: tuple[int, int]
) -> None:
    file = tmp_path / "x.yaml"
    file.write_bytes(raw)
    try:
        problem = read(file).problems[0]
    except FileMistakes as mistakes:
        problem = mistakes.problems[0]
    assert problem.message.startswith(message)
    assert (problem.line, problem.column) == place


def test_a_byte_order_mark_and_any_line_ends_are_fine(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_bytes(b"\xef\xbb\xbfa: 1\r\nb: 2\rc: 3\n")
    document = read(file)
    assert document.data == {"a": 1, "b": 2, "c": 3}
    assert document.keys["c",].line == 3


def test_a_space_that_is_none_is_named(small: Small, mistakes: Mistakes) -> None:
    [problem] = mistakes(small(task=("task: abr", "task:\u00a0abr")))
    assert problem.hint == "line 2 holds U+00A0 (no-break space), which is no space"


def test_what_is_no_file_is_named_and_not_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    (tmp_path / "phase1.yaml").touch()
    assert refused(pipe).message == "is a pipe, not a file"
    assert refused(Path("/dev/zero")).message == "is a device, not a file"
    assert (refused(tmp_path).message, refused(tmp_path).hint) == (
        "is a folder, not a file",
        "there is phase1.yaml in it",
    )
    assert refused(tmp_path / "phsae1.yaml").hint == "did you mean phase1.yaml?"
    assert refused(Path("-")).hint == "standard input is not read; give the path of a file"
    assert refused(tmp_path / ("x" * 300)).message == "cannot be read: File name too long"
    assert refused(tmp_path / "a\x1b[31m\n").file == f"{tmp_path}/a\N{REPLACEMENT CHARACTER}[31m "


def test_what_this_package_writes_may_hold_more(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_text("\n".join(f"k{i}: 1" for i in range(BY_HAND.values // 2 + 1)))
    assert refused(file).message == f"holds more than {BY_HAND.values} keys and values"
    assert len(read(file, limits=WRITTEN_OUT).data) == BY_HAND.values // 2 + 1


def test_very_many_mistakes_end_in_a_word_about_the_others(small: Small, mistakes: Mistakes) -> None:
    unknown = "".join(f"  optimizer.lrr{i}: 1\n" for i in range(1000))
    problems = mistakes(small(train=("  epochs: 3\n", unknown)))
    assert len(problems) == MOST_MISTAKES + 1
    assert problems[-1].message == f"there are more than {MOST_MISTAKES} mistakes; mend these first"
    twice = parse("a: 1\n" * MOST_MISTAKES, "x").problems
    assert len(twice) == MOST_MISTAKES - 1
    with pytest.raises(FileMistakes, match="more than 100 mistakes"):
        parse("a: 1\n" * 1000, "x")


@pytest.mark.parametrize(
    "name",
    [
        "../x",
        "a/b",
        "/etc/x",
        '""',
        ".",
        "..",
        ".x",
        "-x",
        "x" * 65,
        "con",
        "NUL.txt",
        "trained",
        "x.",
        "<b>x</b>",
        "é",
    ],
)
def test_names_that_are_no_folder_everywhere(small: Small, mistakes: Mistakes, name: str) -> None:
    file = small(name=("name: small", f"name: {name}"))
    for problems in (mistakes(file), mistakes(small(), f"name={name}"), mistakes(small(), name=name.strip('"'))):
        assert problems[0].message.startswith("name must ")


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ('{name: "a\\tb"}', f"name must be 1 to {LONGEST_NAME} characters that can be seen"),
        ("{name: ''}", f"name must be 1 to {LONGEST_NAME} characters that can be seen"),
        (f"{{name: {'x' * 121}}}", f"name must be 1 to {LONGEST_NAME} characters that can be seen"),
        ("{name: 3}", "name must be text"),
        ("{name: first}", "first is the name of an earlier start point"),
    ],
)
def test_names_of_start_points(small: Small, mistakes: Mistakes, entry: str, message: str) -> None:
    [problem] = mistakes(small(f"start_from: [{{name: first}}, {entry}]\n"))
    assert problem.message == message


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (
            "batch_size: {int: [1, 9007199254740993]}",
            "int[2] must be at most 9,007,199,254,740,992, not 9007199254740993",
        ),
        (f"batch_size: {{int: [1, {10**305}]}}", "a number of more than 300 digits"),
        ("optimizer.lr: {log: [1e-3, 1e400]}", "log[2] must be a finite number, not Infinity"),
        ("balance.clamp: {ordered: {low: [1, 2], high: [1, 1e200]}}", "high[2] must be at most 1e+100, not 1e+200"),
        ("batch_size: {choice: [" + "1, " * 300 + "]}", "choice must have at most 256 entries"),
        ("model.dropout: {choice: [0.1, .nan]}", "the choice names NaN, which is no number and equals nothing"),
        ("batch_size: {itn: [8, 64], log: true}", "itn is not one of uniform, log, int, choice, ordered, simplex"),
    ],
)
def test_ranges_beyond_everything(small: Small, mistakes: Mistakes, entry: str, message: str) -> None:
    search = "  optimizer.lr: {log: [1e-5, 3e-3]}\n"
    problems = mistakes(small(search=(search, f"  {entry}\n")))
    assert problems[0].message == message
    assert problems[0].line == 9


def test_a_condition_that_can_never_hold(small: Small, mistakes: Mistakes) -> None:
    more = (
        "  balance.scheme: {choice: [none, sqrt]}\n"
        "  balance.sampling: {choice: [natural, balanced], when: {balance.scheme: none}}\n"
        "  balance.power: {uniform: [0, 1], when: {balance.scheme: sqrt, balance.sampling: natural}}\n"
    )
    [problem] = mistakes(small(search=("search:\n", f"search:\n{more}")))
    assert (problem.line, problem.column) == (11, 65)
    assert problem.message.endswith("never holds: balance.scheme cannot be sqrt and none at once")
    [problem] = mistakes(
        small(search=("search:\n", "search:\n" + more.replace("balance.scheme: none}", "balance.scheme: []}")))
    )
    assert problem.message == "no value of balance.scheme is named, so the condition never holds"


def test_an_early_mistake_hides_none_that_can_be_judged_all_the_same(small: Small, mistakes: Mistakes) -> None:
    text = (
        "task: arb\ntrain: {model.siz: tiny, phases.boundaries: [0.5], epochs: 3}\n"
        "search: {optimizer.Ir: {log: [1, 2]}, balance.scheme: {choice: [none, explicit]}}\n"
        "pruner: {median: {min_epochs: 9}}\nbudgte: {trials: 3}\n"
    )
    file = small()
    file.write_text(text)
    assert [problem.message.partition(":")[0] for problem in mistakes(file)] == [
        "arb is not a task; there are abr, cataract, audio, or module",
        "model.siz is not a training option",
        "phases",
        "optimizer.Ir is not a training option",
        "balance",
        "min_epochs is 9, but a trial trains for 3 epochs",
        "budgte is not a key of the file",
    ]


def test_what_was_misread_raises_no_false_alarm_about_what_goes_with_it(small: Small, mistakes: Mistakes) -> None:
    """Without its weights the scheme would be refused; they are there, only misspelt."""
    [problem] = mistakes(small(train=("  epochs: 3\n", "  balance: {scheme: explicit, weigths: [1, 1, 1, 1, 1]}\n")))
    assert problem.hint == "did you mean balance.weights?"
    [problem] = mistakes(small(train=("  epochs: 3\n", "  epochz: 3\n"), more="pruner: {median: {min_epochs: 21}}\n"))
    assert problem.hint == "did you mean epochs?"


def test_a_start_point_of_shares_that_are_misspelt_where_they_are_searched(small: Small, mistakes: Mistakes) -> None:
    search = ("search:\n", "search:\n  loss.weights: {simplex: [clas, signal]}\n")
    more = "start_from:\n- {loss.weights.class: 0.7, loss.weights.signal: 0.3}\n"
    [problem] = mistakes(small(search=search, more=more))
    assert (problem.message, problem.hint) == ("loss.weights has no clas", "did you mean class?")


@pytest.mark.skipif(cards_here() is None, reason="GPUs cannot be counted here")
def test_what_this_machine_lacks_is_a_warning_in_its_place(small: Small) -> None:
    data = ("{source: simulated, train: 300}", "{source: nowhere.npz}")
    plan = load_plan(small("resources: {cpus: 9999, gpus: 99}\nlimits: {memory: 10GiB}\n", data=data))
    said = {(one.line, one.column): one.message for one in plan.warnings if "CPU" not in one.message}
    assert list(said) == [(13, 19), (13, 31), (3, 16)]
    assert said[13, 19].startswith("a trial is given 9999 cores, this machine has ")
    assert said[13, 31].startswith("a trial is given 99 GPUs, this machine has ")
    assert said[3, 16].endswith("nowhere.npz here")
    assert {one.level for one in plan.warnings} == {"warning"}
    assert load_plan(small()).warnings == ()


def test_a_limit_of_memory_without_its_unit(small: Small, mistakes: Mistakes) -> None:
    [problem] = mistakes(small("limits: {memory: 10}\n"))
    assert problem.message == "memory must have a unit, such as 2GiB: 10 is 10 bytes, and no training runs in that"


@pytest.mark.parametrize("key", ["budget", "data", "health", "gate", "search", "train", "a"])
def test_a_key_of_the_command_line_is_not_nested_without_end(small: Small, mistakes: Mistakes, key: str) -> None:
    [problem] = mistakes(small(), f"{key}{'.a' * 20_000}=1")
    assert problem.message.endswith("is nested deeper than 32")
    assert len(str(problem)) < 500


def test_from_a_folder_that_is_no_run_looks_through_none_of_it(small: Small, mistakes: Mistakes) -> None:
    [problem] = mistakes(small("from: /\n"))
    assert (problem.message, problem.hint) == (
        "/ holds neither a study nor best.yaml",
        "from needs the folder of a run",
    )
    [problem] = mistakes(small(f"from: {'x' * 300}\n"))
    assert problem.message.startswith("xxx")


def test_recordings_under_a_name_that_no_file_can_have(small: Small) -> None:
    [warning] = load_plan(small(data=("{source: simulated, train: 300}", f"{{source: {'x' * 300}.npz}}"))).warnings
    assert warning.message.startswith("there is no file ")
