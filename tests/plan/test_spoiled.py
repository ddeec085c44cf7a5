"""The battery of space files in its fast form: spoiled, exploding and misspelt ones, told with their place."""

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.battery.bombs import BOMBS
from benchmarks.battery.known_keys import slots
from benchmarks.battery.space_files import RIGHT, Reply, apart, here, shipped
from benchmarks.battery.spoiled import ACCIDENTS, spoiled
from benchmarks.battery.typos import EDITS, SHORT, answers, share_right, told

HEAVY = ("everything at its limit", "a list of 9,000 weights", "a grid of conditions")
"""These take half a second; the battery tries them."""
SLOWER = 3
"""So many times slower than one of today may the machine of the tests be; what explodes takes minutes on any."""
NO_TEXT = {
    "a pipe nobody writes to": "a pipe, not a file",
    "/dev/zero": "a device, not a file",
    "a folder": "a folder, not a file",
    "a sparse file of 200 MB": "larger than 256 KiB",
}


def faults(reply: Reply) -> tuple[str, ...]:
    """The second itself is held by the battery, on a machine that has nothing else to do."""
    return replace(reply, seconds=reply.seconds / SLOWER).faults


def test_spoiled_files_are_read_or_refused_with_a_place(tmp_path: Path) -> None:
    replies = list(here(tmp_path, spoiled(shipped(), 3 * len(ACCIDENTS), seed=1)))
    assert {reply.what: faults(reply) for reply in replies if faults(reply)} == {}
    assert {reply.code for reply in replies} == {0, 2}
    assert {reply.what for reply in replies} == set(ACCIDENTS)


@pytest.mark.parametrize("name", [name for name in BOMBS if name not in {*HEAVY, *NO_TEXT}])
def test_bombs_do_not_explode(tmp_path: Path, name: str) -> None:
    [reply] = here(tmp_path, [(name, BOMBS[name](tmp_path).read_bytes())])
    assert faults(reply) == ()
    assert len(reply.said) < 50_000


@pytest.mark.parametrize("name", NO_TEXT)
def test_what_is_no_text_is_not_waited_for(tmp_path: Path, name: str) -> None:
    reply = apart(name, tmp_path, BOMBS[name](tmp_path))
    assert (reply.code, faults(reply)) == (2, ())
    assert f"is {NO_TEXT[name]}" in reply.said


def test_typos_of_known_keys_get_the_right_suggestion(tmp_path: Path) -> None:
    found = list(answers(tmp_path, seed=2, share=0.003))
    assert {answer.edit for answer in found} == set(EDITS)
    assert any(len(answer.slot.key) < SHORT for answer in found)
    assert share_right(found) >= RIGHT, told(found)


def test_every_key_of_every_kind_is_misspelt() -> None:
    places = {slot.above[0] if slot.above else "file" for slot in slots()}
    assert places >= {"file", "budget", "search", "train", "start_from", "data", "health", "pruner", "sampler", "gate"}


def test_a_reply_without_place_in_time_or_code_is_a_fault() -> None:
    good = "x.yaml:1:1: error: task is missing"
    assert Reply("x", 2, good, 0.5, 0.5).faults == ()
    assert Reply("x", 2, "x.yaml: error: task is missing", 0.5, 0.5).faults == ("no place",)
    assert Reply("x", 3, "abr-tune: a fault of ours: KeyError", 0.5, 0.5).faults == ("exit code", "traceback")
    assert Reply("x", 2, "", 0.5, 0.5).faults == ("no word",)
    assert Reply("x", 2, good, 1.5, 0.5).faults == ("slow",)
