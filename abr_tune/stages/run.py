"""`abr-tune run` of a file of stages: one search after the other, as long as the gates say go."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

from abr_tune import environment
from abr_tune.borders import refuse_links
from abr_tune.console import stderr_console
from abr_tune.errors import AbrTuneError, Exit, OurFault, UserError
from abr_tune.filesystems import refuse_remote
from abr_tune.folder import differences, go_on_setting_aside, set_aside
from abr_tune.materials import Launch
from abr_tune.plain import visible
from abr_tune.plan import yaml
from abr_tune.plan.describe import describe_plan
from abr_tune.plan.plan import Plan
from abr_tune.plan.stages import Stages, describe_stages
from abr_tune.run import run
from abr_tune.runs import LOCK, RunFolder, sole_driver, write_atomically, write_json
from abr_tune.stages.folder import stages_in
from abr_tune.stages.page import write_page
from abr_tune.stages.summary import State, sentences_of_stages, summarise_stages, why_it_stopped


def run_stages(stages: Stages, launch: Launch) -> Exit:
    """Run the stages in order in `results/<name>/<stage>/`; goes on in the stage where an earlier command ended.

    A stage that has finished with exactly this plan is not run again. The order ends at a gate that is not go, which
    is no failure, and where no trial completes, which is. Only the last stage of the file scores the test split.

    Raises:
        UserError: the data cannot be used, the folder holds a run of something else, or a stage's file does not go
            with what the stage before found.
        EnvironmentFault, StorageFault: as for a single search.
    """
    console = stderr_console()
    say = partial(console.print, markup=False, soft_wrap=True)
    whole = RunFolder(launch.out / stages.name)
    refuse_remote(None, whole.path)
    refuse_links(whole.path)
    with sole_driver(whole.path), _nothing_left_of_a_refusal(whole):
        _prepare(whole, stages, launch, say)
        # A killed command says nothing any more: until the end it is unfinished.
        _summarise(whole, stages, "unfinished")
        code = _run_in_order(stages, whole, launch, say)
        state: State = "interrupted" if code not in {Exit.DONE, Exit.NOTHING_COMPLETE} else "finished"
        _summarise(whole, stages, state)
        if state == "finished":
            write_page(whole.path)
        _tell(whole, launch, state)
    return code


def _run_in_order(stages: Stages, whole: RunFolder, launch: Launch, say: partial[None]) -> Exit:
    """Run what has not finished yet, up to a signal, a gate that is not go, or a stage that completes no trial."""
    count = len(stages.stages)
    for index, stage in enumerate(stages.stages):
        plan = stages.plan(index, whole.path)
        say(f"stage {index + 1} of {count}: {stage.name}")
        if _finished(RunFolder(whole.path / stage.name), plan):
            say(f"{stage.name} has finished before")
        else:
            last = index == count - 1
            began = time.monotonic()
            part = replace(launch, out=whole.path, stage=stage.name, scores_test=last, fresh=False, started=began)
            if (code := run(plan, part)) is not Exit.DONE:
                return code
        # What later stages reached in an earlier command says nothing of this one.
        if _summarise(whole, stages, "unfinished")["stopped_at"] == stage.name:
            break
    return Exit.DONE


def _summarise(whole: RunFolder, stages: Stages, state: State) -> dict[str, object]:
    own = [RunFolder(whole.path / stage.name) for stage in stages.stages]
    summary = summarise_stages(whole.path, own, state=state, about=stages.about)
    write_json(whole.summary, summary)
    return summary


def _tell(whole: RunFolder, launch: Launch, state: State) -> None:
    """The end of the whole: its summary for a program, sentences for a person; an interruption has been told."""
    summary = whole.read_summary() or {}
    if launch.json and state == "finished":
        sys.stdout.write(whole.summary.read_text(encoding="utf-8"))
    elif not launch.json and state == "finished":
        sys.stdout.write("\n")
        sys.stdout.writelines(f"{visible(line)}\n" for line in sentences_of_stages(summary, str(whole.path)))
    elif launch.json and (said := why_it_stopped(summary)) is not None:
        stderr_console().print(said, markup=False)


def _prepare(whole: RunFolder, stages: Stages, launch: Launch, say: partial[None]) -> None:
    """Make or continue the folder of the whole; each stage sees to its own."""
    go_on_setting_aside(whole, None, say)
    if launch.fresh:
        set_aside(whole, None, say)
    described = describe_stages(stages)
    if whole.plan.exists():
        if stages_in(whole.path) is None:
            raise UserError(
                f"{whole.path} holds a run that is no file of stages: give this one another name with --name, or set "
                "the old one aside with --fresh"
            )
        written = yaml.read(whole.plan, limits=yaml.WRITTEN_OUT).data
        for path, old, new in differences(written.get("stages"), described["stages"], "stages"):
            say(f"changed: {path}: was {old!r}, is {new!r}")
    whole.path.mkdir(parents=True, exist_ok=True)
    write_atomically(whole.space, stages.file.read_text(encoding="utf-8"))
    write_atomically(whole.plan, yaml.dump(described))
    first = stages.stages[0].plan
    write_json(
        whole.environment,
        environment.describe(
            seed=first.seed,
            confirmation_seeds=[],
            fingerprint="none",
            launch={"executor": launch.executor, "jobs": launch.jobs, "storage": None, "command": launch.command},
            code=None,
        ),
    )


def _finished(stage: RunFolder, plan: Plan) -> bool:
    """Whether a stage came to its end, report and all, with exactly this plan."""
    if not (stage.plan.is_file() and stage.report.is_file()):
        return False
    summary = stage.read_summary() or {}
    if summary.get("state") != "finished" or stage.report.stat().st_mtime_ns < stage.summary.stat().st_mtime_ns:
        return False
    written = yaml.read(stage.plan, limits=yaml.WRITTEN_OUT).data
    return not any(differences(written, describe_plan(plan)))


@contextmanager
def _nothing_left_of_a_refusal(whole: RunFolder) -> Iterator[None]:
    """Take a new folder away again when its first stage is refused before anything happened in it."""
    new = not whole.path.exists() or all(entry.name == LOCK for entry in whole.path.iterdir())
    try:
        yield
    except OurFault:  # its message names the log in a stage's folder
        raise
    except AbrTuneError:
        if new and not any(whole.path.glob("*/events.jsonl")):
            shutil.rmtree(whole.path, ignore_errors=True)
        raise
