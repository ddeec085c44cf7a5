"""What a run says when it ends otherwise than by its trials, and what it refuses to begin with."""

import errno
from dataclasses import replace
from pathlib import Path

import pytest

from abr_tune.console import stderr_console
from abr_tune.errors import EnvironmentFault, Exit, OurFault, UserError, unforeseen
from abr_tune.materials import Launch, gather, refuse_missing_resources
from abr_tune.plan.plan import Resources
from abr_tune.run import why_it_ended
from abr_tune.runs import RunFolder
from abr_tune.search.driver import EndedBy
from abr_tune.search.events import TrialRecord
from abr_tune.search.search import Outcome
from tests.search.tasks import Rare, plan

WAITS = TrialRecord(number=0, name=None, state="waiting", value=None, params={})
FAILED = replace(WAITS, number=1, state="failed", error="RuntimeError: a bug")


def ended(by: EndedBy, *records: TrialRecord) -> str | None:
    return why_it_ended(Outcome(state="finished", ended_by=by, signal=None, records=records))


def test_an_early_end_says_why_and_what_to_do() -> None:
    assert ended("budget", WAITS) is None
    assert ended("time", WAITS, FAILED) == (
        "the time budget is over; 1 unfinished trial waiting, and the same command goes on with a new budget"
    )
    assert ended("no_improvement", replace(WAITS, state="pruned"), FAILED) == (
        "nothing better came any more: ended after 1 trial; a larger no_improvement goes on"
    )
    assert ended("failures", FAILED, replace(FAILED, number=2)) == (
        "given up after 2 failed trials; each that raised has a traceback.txt in its folder; the same command goes on"
    )


@pytest.mark.parametrize("wrong", [float("nan"), "0.4", None])
def test_baselines_that_are_no_numbers_are_refused_before_the_search(tmp_path: Path, wrong: object) -> None:
    class Careless(Rare):
        def baselines(self, _dataset: object) -> dict[str, object]:
            return {"val/class/f1_macro": wrong}

    with pytest.raises(UserError, match="must be finite numbers, but val/class/f1_macro is"):
        gather(plan(task=Careless()), Launch(), RunFolder(tmp_path), stderr_console(), None)


def test_a_full_disk_is_no_fault_of_ours() -> None:
    full = unforeseen(OSError(errno.ENOSPC, "No space left on device"), "run.log")
    assert (type(full), full.exit) == (EnvironmentFault, Exit.ENVIRONMENT)
    assert str(full) == "No space left on device; free some and give the same command again"
    # So says a terminal that was closed.
    assert isinstance(unforeseen(OSError(errno.EIO, "Input/output error"), "run.log"), OurFault)
    assert isinstance(unforeseen(ValueError("a bug"), "run.log"), OurFault)


def test_a_trial_is_not_given_what_the_machine_has_not() -> None:
    refuse_missing_resources(Resources())
    with pytest.raises(EnvironmentFault, match=r"100000 cores, but this machine has \d+"):
        refuse_missing_resources(Resources(cpus=100_000))
    with pytest.raises(EnvironmentFault, match=r"1000 GPUs, but torch finds \d+ here"):
        refuse_missing_resources(Resources(gpus=1000))


def test_data_that_changed_under_their_name_are_refused(tmp_path: Path) -> None:
    class Dated(Rare):
        data = dict
        print_of = "monday"

        def load(self, _data: object, *, folder: Path) -> str:
            return self.print_of

        def fingerprint(self, dataset: str) -> str:
            return dataset

        def remarks(self, _dataset: str) -> tuple[str, ...]:
            return ()

        def baselines(self, _dataset: str) -> dict[str, float]:
            return {}

    task, run = Dated(), RunFolder(tmp_path)
    begun = plan(task=task, data=Resources())
    gather(begun, Launch(), run, stderr_console(), None)
    task.print_of = "tuesday"
    gather(begun, Launch(), run, stderr_console(), None)  # nothing was trained yet
    run.events.touch()
    assert gather(begun, Launch(), run, stderr_console(), None).fingerprint == "tuesday"
    task.print_of = "wednesday"
    with pytest.raises(UserError, match="was tuesday, is wednesday\nscores would not be comparable"):
        gather(begun, Launch(), run, stderr_console(), None)
