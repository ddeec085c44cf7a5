"""Each check of this machine sees the trouble that is really made for it, and is content where there is none."""

import io
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import get_args

import pytest
from packaging.requirements import Requirement
from rich.console import Console

from abr_tune.doctor import checks, database, disk, engine, gpu, machine, packages
from abr_tune.doctor.checks import CHECKS, CheckName, Told, examine, mend, worst
from abr_tune.doctor.child import NoAnswer, ask
from abr_tune.doctor.finding import Finding, Kept, Place, Repair, note, ok, problem, warning
from abr_tune.doctor.show import closing, document, show
from abr_tune.search import orphans
from abr_tune.search.orphans import find_orphans
from tests.end_to_end.commands import call
from tests.postgres import Server
from tests.search.cluster import can_hide

ROOT = Path(__file__).parents[1]
COMMAND = str(Path(sys.executable).with_name("abr-tune"))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    (tmp_path / "results").mkdir()
    return Place(out=tmp_path / "results", temp=Path(tempfile.gettempdir()))


def look(check: CheckName, place: Place) -> list[Finding]:
    return list(CHECKS[check].look(place))


def doctor(*words: object, prefix: tuple[str, ...] = (), **environment: str) -> tuple[int, dict[CheckName, list[dict]]]:
    """What the command finds in a process of its own, by check, and its exit code."""
    command = [*prefix, COMMAND, "doctor", "--json", *map(str, words)]
    variables = {name: value for name, value in os.environ.items() if name != "NO_COLOR"} | environment
    done = subprocess.run(command, capture_output=True, text=True, env=variables, check=False)
    found: dict[CheckName, list[dict]] = {}
    for each in json.loads(done.stdout)["findings"]:
        found.setdefault(each["check"], []).append(each)
    return done.returncode, found


# The table, and how it is carried out


def test_every_check_is_in_the_table_and_groups_stand_together() -> None:
    assert set(CHECKS) == set(get_args(CheckName))
    groups = [check.group for check in CHECKS.values()]
    assert [group for before, group in zip(["", *groups], groups, strict=False) if group != before] == list(
        get_args(checks.Group)
    )


def test_a_healthy_machine_has_no_problem_and_every_check_says_something(place: Place) -> None:
    told = examine(place, quick=True)
    assert {each.check for each in told} == {name for name, check in CHECKS.items() if not check.slow}
    assert [each for each in told if each.finding.level == "problem"] == []
    assert [each for each in told if "could not be told" in each.finding.sentence] == []
    assert list(place.out.iterdir()) == [], "the probe is removed"


def test_a_check_that_fails_is_a_finding_and_never_well(place: Place) -> None:
    """Of two checks that cannot find the folder of temporary files, each says so itself."""
    told = examine(replace(place, temp=place.out / "no such"), only=["room", "inodes"])
    assert [(each.check, each.finding.level) for each in told if "no such" in each.finding.sentence] == [
        ("room", "warning"),
        ("inodes", "warning"),
    ]
    assert all(
        each.finding.sentence.startswith("could not be told: FileNotFoundError")
        for each in told
        if "no such" in each.finding.sentence
    )


def test_a_results_folder_that_does_not_answer_is_left_alone(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "SECONDS_TO_REACH", 0.0)
    told = {each.check: each.finding for each in examine(place, only=["python", "results", "studies"])}
    assert told["python"].level == "ok"
    assert told["results"].level == "problem"
    assert "could not be looked at: no answer within 0 s" in told["results"].sentence
    assert told["studies"] == warning("not looked at: the results folder does not answer")


def test_only_what_may_be_repaired_is_and_each_is_said() -> None:
    done: list[str] = []

    def refuse(fault: Exception) -> Callable[[], None]:
        def act() -> None:
            raise fault

        return act

    told = [
        Told("orphans", warning("three", "", (Repair("do it", lambda: done.append("done")),))),
        Told("half-written", warning("x", "", (Repair("try", refuse(PermissionError(13, "Permission denied"))),))),
        Told("half-written", warning("y", "", (Repair("dare", refuse(Kept("somebody is at work there"))),))),
        Told("room", problem("no repair")),
    ]
    mended = list(mend(told))
    assert done == ["done"]
    assert [(each.what, each.error) for each in mended] == [
        ("do it", ""),
        ("try", "[Errno 13] Permission denied"),
        ("dare", "somebody is at work there"),
    ]


# Questions to other processes


def test_an_answer_comes_back() -> None:
    assert ask(max, [3, 9, 4], seconds=20) == 9


@pytest.mark.parametrize(
    ("call", "arguments", "said"),
    [
        pytest.param(time.sleep, (60,), "no answer within 0.5 s", id="hangs"),
        pytest.param(os.abort, (), "the process that was asked crashed (SIGABRT)", id="crashes"),
        pytest.param(os._exit, (7,), "the process that was asked ended without an answer: exit code 7", id="ends"),
        pytest.param(os.listdir, ("/no such",), "FileNotFoundError: [Errno 2]", id="raises"),
    ],
)
def test_no_answer_says_why(call: Callable[..., object], arguments: tuple[object, ...], said: str) -> None:
    with pytest.raises(NoAnswer) as no:
        ask(call, *arguments, seconds=0.5 if call is time.sleep else 20)
    assert str(no.value).startswith(said)
    with pytest.raises(ProcessLookupError):
        os.kill(no.value.pid, 0)


def test_what_libraries_print_is_no_answer() -> None:
    assert ask(print, "hello", seconds=20) is None


# Packages


def test_packages_are_those_that_are_wanted(place: Place) -> None:
    [found] = look("packages", place)
    assert found.level == "ok"
    assert f"optuna {version('optuna')}" in found.sentence


@pytest.mark.parametrize(
    ("wanted", "wrong"),
    [
        ("optuna>=5,<6", None),
        ("optuna<5", f"optuna {version('optuna')} is installed, but <5 is wanted"),
        ("no-such-package>=1", "no-such-package is not installed"),
    ],
)
def test_a_package_that_does_not_fit_is_named(wanted: str, wrong: str | None) -> None:
    assert packages.misfit(Requirement(wanted)) == wrong


def test_every_extra_has_a_purpose() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert set(packages.EXTRAS) == set(project["optional-dependencies"])
    assert {each.name for each in packages.wanted_by("postgresql")} == {"psycopg"}
    assert "psycopg" not in {each.name for each in packages.wanted_by("")}


# Disks


@pytest.mark.parametrize(("free", "level"), [(10, "ok"), (9, "warning"), (4, "warning"), (3, "problem")])
def test_room_is_held_against_what_is_assumed(free: int, level: str) -> None:
    found = disk.judge_room("results", free=free * 2**20, total=2**30, needed=10 * 2**20, little=4 * 2**20)
    assert found.level == level
    assert f"{free} MiB of 1.0 GiB free for results" in found.sentence
    assert "10 MiB are assumed" in found.sentence or level == "problem"


def test_a_disk_that_flushes_slowly_or_never_is_told(tmp_path: Path) -> None:
    def said(fsync: float, skew: float = 0.0) -> list[str]:
        return [each.level for each in disk.judge_probe(tmp_path, {"fsync": fsync, "skew": skew})]

    assert said(0.001) == ["ok", "ok"]
    assert said(0.2) == ["ok", "warning"]
    assert said(0.000001) == ["ok", "note"]
    assert said(0.001, skew=-3600) == ["ok", "ok", "warning"]


def test_results_that_are_a_file_s_child_cannot_be_there(tmp_path: Path) -> None:
    """The nearest folder above is tried, and nothing of it stays."""
    place = Place(out=tmp_path / "a" / "b", temp=tmp_path)
    assert place.ground == tmp_path
    assert [each.level for each in look("results", place)][:2] == ["note", "ok"]
    assert list(tmp_path.iterdir()) == []


mounting = pytest.mark.skipif(not can_hide(), reason="no filesystem may be mounted here")


def mounted(*mounts: str) -> tuple[str, ...]:
    """The command in a place where these filesystems are mounted, for itself alone."""
    return ("unshare", "-m", "sh", "-c", " && ".join([*mounts, 'exec "$0" "$@"']))


@mounting
def test_a_folder_that_may_not_be_written_to(place: Place) -> None:
    code, found = doctor("--quick", "--out", place.out, prefix=mounted(f"mount -t tmpfs -o ro none '{place.out}'"))
    [said] = found["results"]
    assert (code, said["level"]) == (4, "problem")
    assert said["sentence"] == f"writing does not work in {place.out}: Read-only file system"
    assert "--out" in said["remedy"]


@mounting
def test_a_disk_that_is_full_and_shared_memory_that_is_small(place: Place) -> None:
    mounts = (f"mount -t tmpfs -o size=2m,nr_inodes=100 none '{place.out}'", "mount -t tmpfs -o size=64m none /dev/shm")
    code, found = doctor("--quick", "--out", place.out, prefix=mounted(*mounts))
    assert code == 4
    assert found["room"][0]["level"] == "problem"
    assert "too little to begin" in found["room"][0]["sentence"]
    assert found["inodes"][0]["level"] == "problem"
    assert found["kind of disk"][0]["sentence"].startswith("results: kept in memory (tmpfs)")
    [shm] = found["shared memory"]
    assert shm["level"] == "warning"
    assert "64 MiB free in /dev/shm" in shm["sentence"]
    assert "--shm-size" in shm["remedy"]


@mounting
def test_a_disk_without_any_room_fails_where_it_is_written(place: Place) -> None:
    mounts = (f"mount -t tmpfs -o size=32k none '{place.out}'",)
    _, found = doctor("--quick", "--out", place.out, prefix=mounted(*mounts))
    assert found["results"][0]["sentence"].endswith(": No space left on device")


def test_a_temporary_folder_whose_path_is_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray's own folder goes elsewhere then; where that may not be either, nothing can be done."""
    long, short = tmp_path / ("x" * 60), Path(tempfile.mkdtemp(prefix="d-", dir="/tmp"))
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    monkeypatch.setattr(orphans, "SHORT", short)
    place = Place(out=tmp_path, temp=long)
    [found] = [each for each in disk.temp_path(place) if "TMPDIR is" not in each.sentence]
    assert found == note(f"{long} is too long for the paths of Ray's sockets: its temporary folder goes to {short}")
    short.rmdir()
    assert [each.level for each in disk.temp_path(place) if "TMPDIR is" not in each.sentence] == ["problem"]


def test_a_tmpdir_that_is_not_there(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", f"{place.temp}/../{place.temp.name}")
    assert not [each for each in disk.temp_path(place) if "TMPDIR is" in each.sentence]
    monkeypatch.setenv("TMPDIR", "/no such")
    assert disk.temp_path(place).__next__().sentence.startswith("TMPDIR is /no such, which cannot be written to")


# The machine


def test_variables_and_limits_of_a_shell(place: Place) -> None:
    """Several troubles at once, as a shell has them."""
    prefix = ("sh", "-c", 'ulimit -n 48 && ulimit -v 12000000 && exec "$0" "$@"')
    code, found = doctor(
        "--quick",
        "--out",
        place.out,
        prefix=prefix,
        OMP_PROC_BIND="true",
        KMP_BLOCKTIME="infinite",
        PYTHONIOENCODING="ascii",
        OMP_NUM_THREADS="8",
    )
    assert code == 4
    files, *_, space = found["limits"]
    assert files["level"] == "problem"
    assert files["sentence"].startswith("48 open files are allowed; ")
    assert space["sentence"] == "address space (ulimit -v) is limited to 11.4 GiB"
    assert {each["sentence"].split(" makes ")[0] for each in found["threads"]} == {
        "OMP_PROC_BIND=true",
        "KMP_BLOCKTIME=infinite",
    }
    [letters] = found["letters"]
    assert letters["level"] == "warning"
    assert "what is printed in ascii" in letters["sentence"]


def test_open_files_are_what_ray_can_raise_them_to() -> None:
    # 256 for its servers, and 8 for each of 4 trainings: 288.
    assert machine.judge_files(1024, 1024, at_a_time=4) == ok("1024 open files are allowed")
    assert machine.judge_files(256, 4096, at_a_time=4) == ok("256 open files are allowed, and Ray raises that to 4096")
    assert machine.judge_files(256, -1, at_a_time=4) == ok("256 open files are allowed, and Ray raises that to 65536")
    few = machine.judge_files(256, 287, at_a_time=4)
    assert (few.level, few.sentence) == (
        "warning",
        "287 open files are allowed; 288 are assumed for 4 trainings at a time",
    )
    assert machine.judge_files(63, 63, at_a_time=1).level == "problem"


def test_memory_is_held_against_trainings_at_a_time() -> None:
    gibi = 2**30
    # Four trainings of half a gibibyte, and one gibibyte for the rest: three.
    assert machine.judge_memory(3 * gibi, 8 * gibi, whose="machine", at_a_time=4).level == "ok"
    few = machine.judge_memory(2 * gibi, 8 * gibi, whose="container", at_a_time=4)
    assert (few.level, few.remedy) == ("warning", "end something else, or run with --jobs 2")
    assert "of the container's 8.0 GiB" in few.sentence
    assert machine.judge_memory(gibi // 4, 8 * gibi, whose="machine", at_a_time=1).level == "problem"


def test_the_dashboards_port_is_taken(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(1)
        monkeypatch.setattr(machine, "PORT", server.getsockname()[1])
        [found] = look("loopback", place)
    assert found.level == "note"
    assert "is taken" in found.sentence
    assert look("loopback", place)[0].level == "ok"


def test_a_clock_behind_the_runs(place: Place) -> None:
    assert look("clock", place)[0].level == "ok"
    run = place.out / "later"
    run.mkdir()
    (run / "space.yaml").touch()
    os.utime(run / "space.yaml", (time.time() + 3 * 86400,) * 2)
    [found] = look("clock", place)
    assert (found.level, "a run lies in the future" in found.sentence) == ("warning", True)


@mounting
def test_a_machine_whose_loopback_is_down(place: Place) -> None:
    """In a network of its own, where nobody has set it up."""
    _, found = doctor("--quick", "--out", place.out, prefix=("unshare", "-n"))
    [said] = found["loopback"]
    assert said["level"] == "problem"
    assert said["sentence"].startswith("127.0.0.1 does not answer")


# Graphics cards

H200 = gpu.Card(name="H200", memory=100 * 2**30, free=99 * 2**30)
TORCH = {"torch": "2.13.0", "built_for": "12.9"}


@pytest.mark.parametrize(
    ("seen", "level", "words"),
    [
        pytest.param(gpu.Seen(torch="2.13.0+cpu"), "ok", "none; trainings use the processor", id="none"),
        pytest.param(gpu.Seen(**TORCH, driver="H200, 580", cards=(H200,)), "ok", "H200 with 100.0 GiB", id="one"),
        pytest.param(
            gpu.Seen(**TORCH, driver="H200, 580", cards=(replace(H200, free=10 * 2**30),)),
            "note",
            "others use 90.0 GiB of H200",
            id="used by others",
        ),
        pytest.param(
            gpu.Seen(torch="2.13.0+cpu", driver="H200, 580"), "warning", "built for processors only", id="CPU build"
        ),
        pytest.param(
            gpu.Seen(**TORCH, signs=True, trouble="nvidia-smi says: Driver/library version mismatch"),
            "warning",
            "restart the machine",
            id="mismatch",
        ),
        pytest.param(
            gpu.Seen(**TORCH, driver="H200, 470", error="The NVIDIA driver on your system is too old"),
            "warning",
            "update the driver",
            id="old driver",
        ),
        pytest.param(
            gpu.Seen(**TORCH, driver="H200, 580", cards=(H200,), error="card 0 computes 0.0 for 65536.0"),
            "warning",
            "cannot use the card: card 0 computes 0.0",
            id="computes wrongly",
        ),
        pytest.param(
            gpu.Seen(**TORCH, driver="H200, 580", error="CUDA error: out of memory"),
            "warning",
            "others use the card's memory",
            id="full",
        ),
        pytest.param(
            gpu.Seen(torch="2.13.0+cpu", trouble="nvidia-smi does not answer within 15 s"),
            "note",
            "does not answer within 15 s",
            id="hangs",
        ),
        pytest.param(gpu.Seen(error="no answer within 90 s"), "warning", "torch does not answer", id="torch hangs"),
    ],
)
def test_cards_in_a_sentence(seen: gpu.Seen, level: str, words: str) -> None:
    found = gpu.judge_cards(seen)
    assert found.level == level
    assert words in f"{found.sentence} {found.remedy}"


def program(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


@pytest.mark.parametrize(
    ("script", "found"),
    [
        pytest.param("echo 'H200, 580.1'", ("H200, 580.1", ""), id="answers"),
        pytest.param(
            "echo 'Failed to initialize NVML: Driver/library version mismatch'; exit 18",
            ("", "nvidia-smi says: Failed to initialize NVML: Driver/library version mismatch"),
            id="complains",
        ),
        pytest.param("exec sleep 60", ("", "nvidia-smi does not answer within 0.3 s"), id="hangs"),
    ],
)
def test_the_drivers_own_program_is_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, found: tuple[str, str]
) -> None:
    monkeypatch.setattr(gpu, "SECONDS_FOR_THE_DRIVER", 0.3 if "sleep" in script else 10)
    program(tmp_path, "nvidia-smi", script)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert gpu._driver() == found


def test_torch_that_hangs_is_a_warning(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "SECONDS_FOR_TORCH", 0.2)
    [found] = look("gpu", place)
    assert (found.level, found.sentence) == ("warning", "torch does not answer: no answer within 0.2 s")


# Ray


@pytest.mark.ray
@pytest.mark.slow
def test_ray_starts_and_leaves_everything_as_it_was(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also what a dead run left: a run takes that away when it starts Ray, a doctor only when asked to repair."""
    with tempfile.TemporaryDirectory(prefix="d-") as temp:
        monkeypatch.setenv("TMPDIR", temp)
        monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")  # somebody's cluster: not ours to ask
        dead = Path(temp, "at-4194303-abcd")
        dead.mkdir()
        [found] = look("ray", place)
        assert found.level == "ok", found
        assert list(Path(temp).iterdir()) == [dead]


@pytest.mark.ray
@pytest.mark.slow
def test_a_ray_that_hangs_is_ended_with_all_it_started(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory(prefix="d-") as temp:
        monkeypatch.setenv("TMPDIR", temp)
        monkeypatch.setattr(tempfile, "tempdir", temp)
        began: list[float] = []

        def begun() -> bool:
            return any(Path(temp).glob("at-*/*/session_*"))

        # Long enough for its servers to be there, too short for an answer.
        monkeypatch.setattr(engine, "ask", lambda call, seconds: _asked_until(begun, call, began))
        [found] = look("ray", place)
        assert found.level == "problem"
        assert "Ray does not start: the process that was asked crashed (SIGKILL)" in found.sentence
        assert "--executor inline" in found.remedy
        assert [orphan for orphan in find_orphans() if temp in str(orphan)] == []
        assert list(Path(temp).iterdir()) == []


def _asked_until(begun: Callable[[], bool], call: Callable[..., object], began: list[float]) -> object:
    """The question as it is asked, whose process is killed once it has started something."""
    import threading

    from abr_tune.doctor.child import hush

    def watch() -> None:
        while not begun():
            time.sleep(0.01)
        began.append(time.monotonic())
        hush()

    threading.Thread(target=watch, daemon=True).start()
    return ask(call, seconds=60)


# Storages elsewhere


def test_a_server_that_lets_us_work(postgres: Server, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    from abr_tune.search.storage import admitted

    monkeypatch.setenv("PGPASSWORD", "")
    url = admitted(postgres.url)
    [found] = look("storage", replace(place, storage=url))
    assert found.level == "ok"
    assert "abr may make tables and take locks" in found.sentence
    assert look("leases", replace(place, storage=url)) == [ok("0 living drivers of shared studies")]
    assert tables(url) == [], "looking makes nothing"


def tables(url: str) -> list[str]:
    from sqlalchemy import create_engine, inspect

    engine = create_engine(url)
    try:
        return inspect(engine).get_table_names()
    finally:
        engine.dispose()


def test_a_server_that_refuses(postgres: Server, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    from abr_tune.search.storage import admitted

    monkeypatch.setenv("PGPASSWORD", "")
    url = admitted(postgres.url)
    postgres.sql("CREATE USER poor PASSWORD 'x'")
    monkeypatch.setenv("PGPASSWORD", "x")
    [poor] = look("storage", replace(place, storage=url.replace("abr@", "poor@")))
    assert poor.level == "problem"
    assert "poor may not make tables: permission denied for schema public" in poor.sentence
    [wrong] = look("storage", replace(place, storage=url))
    assert (wrong.level, wrong.remedy.startswith("give the password in PGPASSWORD")) == ("problem", True)
    [gone] = look("storage", replace(place, storage="postgresql+psycopg://me@127.0.0.1:1/x"))
    assert (gone.level, "is the server running" in gone.remedy) == ("problem", True)


def test_a_password_is_never_said(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", "")
    answer = call(
        "doctor", "--quick", "--out", place.out, "--storage", "postgresql+psycopg://me:s3cret@127.0.0.1:1/x", "--json"
    )
    assert answer.code == 4
    assert "s3cret" not in answer.out + answer.err
    assert answer.json["storage"] == "postgresql+psycopg://me@127.0.0.1:1/x"


@pytest.mark.parametrize(
    ("change", "level"),
    [
        ({}, ["ok"]),
        ({"seconds": 0.2}, ["ok", "warning"]),
        ({"skew": 100.0}, ["ok", "note"]),
        ({"free": 2}, ["ok", "warning"]),
        ({"refused": {"take locks": "no"}}, ["problem"]),
    ],
)
def test_a_servers_answers(change: dict[str, object], level: list[str]) -> None:
    seen = {"version": "15", "user": "me", "seconds": 0.001, "skew": 0.0, "free": 90, "refused": {}} | change
    assert [each.level for each in database.judge_server("url", seen)] == level


# The page

TOLD = [
    Told("python", ok("3.11.7, >=3.11 is wanted")),
    Told("extras", note("a note", "do this")),
    Told("extras", ok("another line")),
    Told("room", problem("too little " * 12, "free some")),
    Told("orphans", warning("left [bold]\x1b[31m", "", (Repair("end 7", lambda: None), Repair("end 8", lambda: None)))),
]


def page(width: int, *, terminal: bool, dry: bool = True) -> str:
    out = io.StringIO()
    console = Console(file=out, width=width, force_terminal=terminal, color_system="standard" if terminal else None)
    show(console, TOLD, [], seconds=1.25, dry=dry)
    return out.getvalue()


@pytest.mark.parametrize("width", [80, 160])
def test_in_a_terminal_sentences_are_wrapped_in_their_column(width: int) -> None:
    from rich.text import Text

    lines = Text.from_ansi(page(width, terminal=True)).plain.splitlines()
    assert max(map(len, lines)) <= width
    start = next(line for line in lines if line.startswith("problem")).index("too little")
    assert any(line.startswith(" " * start + "too") for line in lines) == (width == 80)
    assert any(line.startswith(" " * start + "-> free some") for line in lines)


def test_in_a_pipe_a_finding_is_a_line_without_escapes() -> None:
    text = page(2000, terminal=False)
    assert "\x1b" not in text
    lines = text.splitlines()
    assert lines == [line.rstrip() for line in lines]
    assert "ok        python         3.11.7, >=3.11 is wanted" in lines
    assert "ok                       another line" in lines
    assert "warning   orphans        left [bold] [31m" in lines
    assert "                         -> --repair would end 7, and 1 more" in lines
    assert lines[-3:] == [
        "1 problem, 1 warning, 1 note; 4 checks in 1.2 s",
        "to be mended: room",
        "2 things that dead runs left: the same command with --repair takes them away",
    ]


def test_all_is_well_in_a_word() -> None:
    assert list(closing(TOLD[:1], seconds=0.5, dry=True)) == ["all is well; 1 check in 0.5 s"]
    assert worst(TOLD[:1]) == "ok"


def test_the_document_says_all_that_the_page_does(place: Place) -> None:
    made = document(place, TOLD, [], 1.25)
    assert json.loads(json.dumps(made)) == made
    assert (made["level"], made["counts"]) == ("problem", {"ok": 2, "note": 1, "warning": 1, "problem": 1})
    assert made["findings"][-1] == {
        "group": "left behind",
        "check": "orphans",
        "level": "warning",
        "sentence": "left [bold]\x1b[31m",
        "remedy": "",
        "repairable": True,
        "repairs": ["end 7", "end 8"],
    }


def test_the_command_answers_in_a_pipe(place: Place) -> None:
    answer = call("doctor", "--quick", "--out", place.out)
    assert answer.code == 0, answer.out
    assert answer.err == ""
    assert answer.out.splitlines()[0] == "software"


@pytest.mark.slow
@pytest.mark.ray
def test_an_interrupted_doctor_leaves_nothing(place: Place) -> None:
    with tempfile.TemporaryDirectory(prefix="d-") as temp:
        process = subprocess.Popen(
            [COMMAND, "doctor", "--out", str(place.out)],
            env=os.environ | {"TMPDIR": temp},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        until = time.monotonic() + 60
        while not list(Path(temp).glob("at-*")) and time.monotonic() < until:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        began = time.monotonic()
        process.communicate(timeout=60)
        assert process.returncode == 130
        assert time.monotonic() - began < 6, "nobody waits for Ray to answer"
        until = time.monotonic() + 10
        while (left := list(Path(temp).iterdir())) and time.monotonic() < until:
            time.sleep(0.05)
        assert left == []


def test_the_page_of_the_documentation_names_every_check() -> None:
    text = (ROOT / "docs/doctor.md").read_text(encoding="utf-8")
    named = [line.split("`")[1] for line in text.splitlines() if line.startswith("| `")]
    assert named == list(CHECKS)
