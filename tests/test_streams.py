"""Output that nobody reads any more is lost, and nothing else is."""

from __future__ import annotations

import errno
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from abr_tune.streams import NO_ROOM, Lasting

ROOT = Path(__file__).parents[1]


def test_what_is_read_arrives_and_the_rest_is_the_streams_own() -> None:
    stream = io.StringIO()
    lasting = Lasting(stream)
    assert lasting.write("one\n") == 4
    lasting.writelines(["two\n", "three\n"])
    lasting.flush()
    assert stream.getvalue() == "one\ntwo\nthree\n"
    assert not lasting.isatty()


@pytest.mark.parametrize("unread", ["pipe", "terminal"])
def test_a_reader_that_goes_is_no_error(unread: str) -> None:
    there, here = os.pipe() if unread == "pipe" else os.openpty()
    with os.fdopen(here, "w", buffering=1) as stream:
        lasting = Lasting(stream)
        lasting.write("read\n")
        os.close(there)
        for _ in range(3):
            assert lasting.write("unread\n") == 7
            lasting.flush()


def test_other_faults_are_not_hidden() -> None:
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        Lasting(Full()).write("x")


@pytest.mark.parametrize(("closed", "said"), [(">&-", b""), ("2>&-", b"Usage: abr-tune ")])
def test_a_command_that_is_begun_with_a_closed_stream_works(closed: str, said: bytes) -> None:
    command = f"{Path(sys.executable).with_name('abr-tune')} --help {closed}"
    done = subprocess.run(["sh", "-c", command], capture_output=True, check=False)
    assert done.returncode == 0
    assert done.stdout.strip().startswith(said)
    assert done.stderr == b""


def test_a_command_whose_reader_has_gone_ends_as_if_it_had_stayed() -> None:
    command = [str(Path(sys.executable).with_name("abr-tune")), "schema"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT)
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    with process.stderr as said:
        assert said.read() == b""
    assert process.wait(60) == 0


def test_a_full_stream_is_dropped_where_that_is_asked_for() -> None:
    with Path("/dev/full").open("w", buffering=1, encoding="utf-8") as stream:
        lasting = Lasting(stream, NO_ROOM)
        for _ in range(3):
            assert lasting.write("lost\n") == 5
            lasting.flush()


@pytest.mark.parametrize(
    ("command", "code"), [("schema 2>/dev/full", 0), ("validate absent.yaml 2>/dev/full", 2), ("schema >/dev/full", 4)]
)
def test_a_full_standard_error_changes_no_exit_code_and_a_full_standard_output_does(command: str, code: int) -> None:
    words = f"{Path(sys.executable).with_name('abr-tune')} {command}"
    assert subprocess.run(["sh", "-c", words], capture_output=True, check=False).returncode == code
