"""What a signal does: noted, insisted on, or the end of the command."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from abr_tune.search.signals import CAUGHT, STOPPING, Signalled, catch_signals, ending_on_signals, undisturbed


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in CAUGHT}
    yield
    after = {number: signal.getsignal(number) for number in CAUGHT}
    for number, handler in before.items():
        signal.signal(number, handler)
    assert after == before, "every context puts the handlers back"


@pytest.mark.parametrize("number", CAUGHT)
def test_the_first_is_noted_and_the_second_ends_at_once(number: signal.Signals) -> None:
    with catch_signals() as interruption:
        assert not interruption
        signal.raise_signal(number)
        assert interruption.signal == number
        with pytest.raises(Signalled) as ended:
            signal.raise_signal(number)
    assert ended.value.code == 128 + number


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_elsewhere_the_first_ends_the_command_with_the_code_that_shells_expect(number: signal.Signals) -> None:
    with ending_on_signals(), pytest.raises(Signalled) as ended:
        signal.raise_signal(number)
    assert ended.value.code == 128 + number


def test_ctrl_c_elsewhere_is_what_python_makes_of_it_also_where_a_shell_had_it_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    with ending_on_signals(), pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    signal.signal(signal.SIGINT, before)


def test_what_was_begun_with_nohup_outlives_its_terminal() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with ending_on_signals(), catch_signals() as interruption:
        signal.raise_signal(signal.SIGHUP)
        assert not interruption
        interruption.arm()
        signal.raise_signal(signal.SIGHUP)
        assert not interruption
    signal.signal(signal.SIGHUP, before)


def test_nothing_disturbs_what_must_be_put_away_and_its_children_inherit_nothing() -> None:
    with ending_on_signals(), undisturbed():
        for number in CAUGHT:
            signal.raise_signal(number)
        asked = "import signal; print(signal.getsignal(signal.SIGTERM) == signal.SIG_DFL)"
        said = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert said.stdout == "True\n"


def test_a_signal_that_is_not_obeyed_for_long_counts_as_two() -> None:
    began = time.monotonic()
    with catch_signals() as interruption, interruption.insistent(0.3):
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(Signalled):
            time.sleep(10)
    assert 0.3 <= time.monotonic() - began < 9
    assert interruption.signal == signal.SIGTERM


@pytest.mark.parametrize("number", CAUGHT)
def test_the_first_is_answered_at_once_and_in_one_line(
    number: signal.Signals, capsys: pytest.CaptureFixture[str]
) -> None:
    with catch_signals():
        signal.raise_signal(number)
        said, until = capsys.readouterr(), time.monotonic() + 10  # while this context lasts: its end takes longer
        while not said.err and time.monotonic() < until:
            time.sleep(0.02)
            said = capsys.readouterr()
        assert said == ("", f"{STOPPING}\n")
        with pytest.raises(Signalled):
            signal.raise_signal(number)
    assert capsys.readouterr() == ("", "")


def test_nothing_is_answered_where_nobody_asked(capsys: pytest.CaptureFixture[str]) -> None:
    with catch_signals():
        pass
    assert capsys.readouterr() == ("", "")
    assert "teller" not in {thread.name for thread in threading.enumerate()}


def test_one_that_is_obeyed_does_not() -> None:
    with catch_signals() as interruption:
        with interruption.insistent(0.4):
            signal.raise_signal(signal.SIGINT)
        time.sleep(0.8)  # a second one would be raised here
        assert interruption.signal == signal.SIGINT


class Freed:
    """Python drops what is raised in here."""

    def __del__(self) -> None:
        signal.raise_signal(signal.SIGTERM)
        time.sleep(0)


def test_a_signal_in_the_middle_of_freeing_memory_comes_again(capfd: pytest.CaptureFixture[str]) -> None:
    freed = [Freed()]
    with ending_on_signals():
        freed.clear()
        with pytest.raises(Signalled):
            time.sleep(10)
    assert capfd.readouterr().err == ""


def test_a_task_that_catches_exceptions_does_not_catch_it() -> None:
    with pytest.raises(Signalled), suppress(Exception):
        raise Signalled(signal.SIGTERM)
