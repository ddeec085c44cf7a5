"""Several commands on one run: beside one another with --join, turned away without, stopped from elsewhere, killed."""

import os
import re
import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import optuna
import pytest

from abr_tune.search.leases import SECONDS_BETWEEN_BEATS
from abr_tune.search.storage import connect, without_password
from tests.end_to_end.commands import call, start, strict
from tests.end_to_end.test_interruption import epochs_of, wait_for
from tests.postgres import PASSWORD, Server

Begin = Callable[..., subprocess.Popen[str]]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(280)]
TASK = """
import json, time
from pydantic import BaseModel
from core.report import EpochReport

class Options(BaseModel):
    epochs: int = 3
    rate: float = 0.1

class Gated:
    \"\"\"After its first epoch a trial waits until the test lets it go on.\"\"\"
    name = "gated"
    options = Options
    def train(self, options, *, seed, checkpoint):
        saved, number = checkpoint / "epoch", checkpoint.parent.name
        done = int(saved.read_text()) if saved.exists() else 0
        for epoch in range(max(done, 1), options.epochs + 1):
            while epoch == 2 and not ((HERE / "go").exists() or (HERE / f"go-{number}").exists()):
                time.sleep(0.02)
            checkpoint.mkdir(parents=True, exist_ok=True)
            (checkpoint / "new").write_text(str(epoch))
            (checkpoint / "new").replace(saved)
            yield EpochReport(epoch=epoch, phase="all", metrics={"val/toy/score": options.rate * epoch},
                              active={"toy": epoch}, seconds=0.01)
"""
SPACE = """\
name: gated
task: gate:Gated
train: {epochs: 3}
search: {rate: {uniform: [0, 1]}}
start_from: [{name: by hand, rate: 0.5}]
objective: {maximize: val/toy/score}
pruner: none
sampler: random
budget: {trials: 8}
confirm: {top: 1, seeds: 1}
"""


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "gate.py").write_text(f"from pathlib import Path\nHERE = Path({str(tmp_path)!r})\n{TASK}")
    (tmp_path / "gated.yaml").write_text(SPACE)
    return tmp_path


@pytest.fixture
def begin(here: Path) -> Iterator[Begin]:
    """Starts a command that drives the run, and waits until it has trained the first epoch of a trial, as all do."""
    begun: list[subprocess.Popen[str]] = []

    def begin(trial: int, *more: object) -> subprocess.Popen[str]:
        begun.append(start(*words(here, *more)))
        wait_for(lambda: epochs_of(here / "results/gated", trial) == [1], begun[-1])
        return begun[-1]

    yield begin
    for process in begun:
        if process.poll() is None:
            process.kill()
            process.communicate()


@pytest.fixture
def url(postgres: Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """Of a new database; later commands, and those of this test, have the password from the environment."""
    url = postgres.url
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    return url


def words(here: Path, *more: object) -> list[str]:
    place = ["--out", here / "results", "--executor", "inline", "--trust-code"]
    return [*map(str, ["run", here / "gated.yaml", *place, *more])]


def trials_of(url: str) -> list[optuna.trial.FrozenTrial]:
    storage = connect(url)
    try:
        return storage.get_all_trials(storage.get_study_id_from_name("gated"))
    finally:
        storage.remove_session()
        storage.engine.dispose()


def test_two_commands_work_on_one_run_and_a_third_is_turned_away(here: Path, url: str, begin: Begin) -> None:
    folder = here / "results/gated"
    first = begin(0, "--storage", url)
    joined = begin(1, "--storage", url, "--join")
    refused = call(*words(here, "--storage", url))
    assert refused.code == 2
    assert re.search(rf"driven by process {first.pid} on \S+ since 20\S+;", refused.err), refused.err
    other = call(*words(here, "--storage", url, "--join", "--trials", 9))
    assert other.code == 2
    assert "budget.trials: there 8, here 9" in other.err
    (here / "go").touch()
    said, heard = joined.communicate(timeout=120), first.communicate(timeout=120)
    assert (first.returncode, joined.returncode) == (0, 0), (said, heard)
    ending = re.search(r"this driver finished (\d) trials? of it; the first driver confirms and reports", said[1])
    assert ending is not None, said
    assert 0 < int(ending[1]) < 8
    trials = trials_of(url)
    assert [trial.number for trial in trials] == list(range(8))
    assert Counter(trial.user_attrs.get("start_point") for trial in trials) == {"by hand": 1, None: 7}
    assert {trial.state.name for trial in trials} == {"COMPLETE"}
    assert strict((folder / "summary.json").read_text())["trials"]["complete"] == 8
    assert (folder / "best.yaml").exists()
    # Nothing that was written or said holds the password; later commands have it from the environment.
    assert strict((folder / "environment.json").read_text())["launch"]["storage"] == without_password(url)
    spoken = "".join([*said, *heard, refused.err, other.err])
    written = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    for secret in (PASSWORD, url.partition("abr:")[2].partition("@")[0]):
        assert secret not in spoken
        assert secret.encode() not in written
    assert len(call("trials", folder, "--json").json) == 8
    assert call("show", folder).code == 0


def test_a_first_driver_that_is_killed_leaves_its_trial_to_the_others(here: Path, url: str, begin: Begin) -> None:
    folder = here / "results/gated"
    first = begin(0, "--storage", url)
    joined = begin(1, "--storage", url, "--join")
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()
    (here / "go").touch()
    _, said = joined.communicate(timeout=120)
    assert joined.returncode == 0, said
    assert "its first driver is gone, so nothing is confirmed yet: abr-tune run" in said
    assert "finished 8 trials" in said
    assert PASSWORD not in said
    assert [trial.state.name for trial in trials_of(url)] == ["COMPLETE"] * 8
    for number in range(8):
        assert epochs_of(folder, number) == [1, 2, 3]
    assert not (folder / "best.yaml").exists()
    again = call(*words(here, "--storage", url, "--join"))
    assert again.code == 0, again.err
    assert (folder / "best.yaml").exists()


def test_stop_ends_the_first_and_with_it_those_that_joined(here: Path, url: str, begin: Begin) -> None:
    folder = here / "results/gated"
    first = begin(0, "--storage", url)
    joined = begin(1, "--storage", url, "--join")
    stopping = start("stop", folder)
    assert stopping.stderr is not None
    assert stopping.stderr.readline().startswith(f"asked process {first.pid} on ")
    (here / "go-0").touch()
    assert "interrupted; continue with: abr-tune run" in first.communicate(timeout=60)[1]
    assert first.returncode == 130
    stopping.communicate(timeout=60)
    # The others hear of it with their next heartbeat, and end with their epoch.
    with pytest.raises(subprocess.TimeoutExpired):
        joined.wait(SECONDS_BETWEEN_BEATS + 2)
    (here / "go-1").touch()
    assert "the search has ended; this driver finished 0 trials" in joined.communicate(timeout=60)[1]
    assert joined.returncode == 0
    assert [trial.state.name for trial in trials_of(url)] == ["WAITING", "WAITING"]
    nobody = call("stop", folder)
    assert (nobody.code, nobody.err) == (2, f"nobody drives {folder} at the moment\n")


def test_stop_reaches_a_run_on_sqlite(here: Path, begin: Begin) -> None:
    process = begin(0)
    stopping = start("stop", "gated", cwd=here)
    assert stopping.stderr is not None
    assert stopping.stderr.readline().startswith(f"asked process {process.pid} on ")
    (here / "go").touch()
    process.communicate(timeout=60)
    assert process.returncode == 130
    stopping.communicate(timeout=60)
    assert stopping.returncode == 0


@pytest.mark.parametrize(
    "more", [(), ("--storage", "sqlite:///study.db"), ("--fresh", "--storage", "postgresql://x/y")]
)
def test_join_needs_what_it_needs(here: Path, more: tuple[str, ...]) -> None:
    answer = call(*words(here, "--join", *more))
    assert answer.code == 2
    assert "PostgreSQL" in answer.err or "--fresh sets it aside" in answer.err
    assert not (here / "results").exists()
