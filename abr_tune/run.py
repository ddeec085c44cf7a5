"""`abr-tune run`: from a plan to a confirmed best configuration, step by step."""

from __future__ import annotations

import logging
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from abr_tune.annotate import annotate
from abr_tune.borders import refuse_links
from abr_tune.confirm import confirm
from abr_tune.console import Scoreboard, stderr_console, watching
from abr_tune.errors import Exit
from abr_tune.export import write_best
from abr_tune.filesystems import refuse_remote
from abr_tune.finalists import Finalist
from abr_tune.folder import kept_log, nothing_left_of_a_refusal, prepare
from abr_tune.join import await_first, leader, refuse_led
from abr_tune.journal import journal
from abr_tune.judging import judge_run
from abr_tune.materials import Launch, Materials, gather, refuse_missing_resources
from abr_tune.plain import visible
from abr_tune.plan.overrides import resolve
from abr_tune.plan.plan import Plan
from abr_tune.plan.space import OutsideSpace
from abr_tune.plan.tasks import code_root
from abr_tune.report.read import read_run
from abr_tune.report.wording import counted
from abr_tune.report.write import write_report
from abr_tune.runs import RunFolder, sole_driver, write_json
from abr_tune.search.archive import read_records, storage_of
from abr_tune.search.events import EpochDone, Event, TrialRecord, Warned
from abr_tune.search.known import remember
from abr_tune.search.launch import Cluster
from abr_tune.search.search import Outcome, search
from abr_tune.start import begun_with, kept
from abr_tune.summary import Spent, sentences, summarise
from abr_tune.trial import length_of
from core.tasks.task import Reference

log = logging.getLogger(__name__)


def run(plan: Plan, launch: Launch) -> Exit:
    """Search, confirm, export and report; returns the exit code. Files lie in `results/<name>/`.

    Raises:
        UserError: the data cannot be used, or the folder holds a run of something else.
        EnvironmentFault: Ray does not start, the machine has not what a trial is given, or a study in SQLite would
            lie on a network filesystem; or the disk is full.
        StorageFault: the study cannot be reached.
    """
    console = stderr_console()
    folder = RunFolder(launch.out / plan.name)
    watch = _Stopwatch(launch.started)
    if launch.address is None:
        refuse_missing_resources(plan.resources)
    refuse_remote(launch.storage, folder.path)
    refuse_links(folder.path)
    if launch.storage is not None:
        remember(launch.storage)
    with sole_driver(folder.path, join=launch.join) as first, ExitStack() as stack:
        if first:
            stack.enter_context(nothing_left_of_a_refusal(folder))
        if launch.join and (not first or leader(launch.storage, plan.name)):
            return _beside(plan, launch, folder, watch, stack)
        refuse_led(launch.storage, plan.name)
        launch = replace(launch, join=False)
        say = partial(console.print, markup=False)
        prepared = prepare(folder, plan, fresh=launch.fresh, say=say, storage=launch.storage)
        stack.enter_context(prepared)
        plan = kept(plan, folder)
        materials = gather(plan, launch, folder, console, _cluster(plan, launch, stack))
        outcome = _search(materials, watch)
        if outcome.signal is not None:
            return _interrupted(materials, outcome.records, outcome.signal, watch)
        if (said := why_it_ended(outcome)) is not None:
            console.print(said, markup=False)
        confirmation = confirm(materials, outcome.records)
        if confirmation.note is not None:
            console.print(confirmation.note, markup=False)
        if confirmation.signal is not None:
            return _interrupted(materials, outcome.records, confirmation.signal, watch)
        return _conclude(materials, outcome, confirmation.finalists, watch)


def _cluster(plan: Plan, launch: Launch, stack: ExitStack) -> Cluster | None:
    if launch.executor == "inline":
        return None
    jobs = launch.jobs_for(plan.resources.cpus)
    code = None if launch.address is None else code_root(plan.task_name)
    return stack.enter_context(Cluster(jobs=jobs, resources=plan.resources, address=launch.address, code=code))


def _beside(plan: Plan, launch: Launch, folder: RunFolder, watch: _Stopwatch, stack: ExitStack) -> Exit:
    """Work on the search of another driver until it ends; that one confirms and reports."""
    console = stderr_console()
    if not await_first(folder, plan, launch.storage, lambda said: console.print(said, style="dim")):
        console.print("the first driver of this run ended before it began the search", markup=False)
        return Exit.DONE
    stack.enter_context(kept_log(folder))
    plan = kept(plan, folder)
    materials = gather(plan, launch, folder, console, _cluster(plan, launch, stack))
    outcome = _search(materials, watch)
    if outcome.signal is not None:
        console.print(
            f"left the search to its other drivers; join again with: {launch.command}", markup=False, soft_wrap=True
        )
        return Exit(128 + outcome.signal)
    console.print(parting(outcome, launch.command), markup=False, soft_wrap=True)
    return Exit.DONE


def parting(outcome: Outcome, command: str) -> str:
    """What a driver that joined says when the search has ended."""
    mine = f"the search has ended; this driver finished {counted(outcome.finished_here, 'trial')} of it"
    if outcome.led:
        return f"{mine}; the first driver confirms and reports"
    return f"{mine}; its first driver is gone, so nothing is confirmed yet: {command}"


def why_it_ended(outcome: Outcome) -> str | None:
    """Why a search ended before its trials were spent, and what to do; None where they were."""
    states = Counter(record.state for record in outcome.records)
    if outcome.ended_by == "time":
        waiting = counted(states["waiting"], "unfinished trial")
        return f"the time budget is over; {waiting} waiting, and the same command goes on with a new budget"
    if outcome.ended_by == "no_improvement":
        ended = states["complete"] + states["pruned"]
        return f"nothing better came any more: ended after {counted(ended, 'trial')}; a larger no_improvement goes on"
    if outcome.ended_by == "failures":
        failed = counted(states["failed"], "failed trial")
        return f"given up after {failed}; each that raised has a traceback.txt in its folder; the same command goes on"
    return None


@dataclass(slots=True)
class _Stopwatch:
    """Seconds since the command began, and until the first epoch report."""

    started: float
    first_report: float | None = None

    def see(self, event: Event) -> None:
        if self.first_report is None and isinstance(event, EpochDone):
            self.first_report = self.elapsed()

    def elapsed(self) -> float:
        return time.monotonic() - self.started


def _search(materials: Materials, watch: _Stopwatch) -> Outcome:
    plan, launch = materials.plan, materials.launch
    board = Scoreboard(
        objectives=plan.objectives,
        trials=plan.budget.trials,
        epochs_per_trial=length_of(resolve(plan.task.options, plan.train)),
        deadline=None if plan.budget.seconds is None else time.monotonic() + plan.budget.seconds,
        stage=launch.stage,
    )
    if storage_of(materials.run.path) is not None:
        earlier = read_records(materials.run.path)
        board.recall(earlier)
        if earlier and not launch.json:
            materials.console.print(continuing(plan, earlier))
    with (
        journal(materials.run.events) as write,
        watching(board, console=materials.console, quiet=launch.json) as show,
    ):

        def tell(event: Event) -> None:
            watch.see(event)
            if isinstance(event, Warned):
                log.warning("trial %d: %s", event.number, event.text)
            write(event)
            show(event)

        return search(
            plan,
            folder=materials.run.path,
            dataset=materials.dataset,
            baselines=materials.baselines,
            executor=launch.executor,
            jobs=materials.jobs,
            storage=launch.storage,
            join=launch.join,
            listener=tell,
            say=lambda sentence: None if launch.json else materials.console.print(sentence, markup=False),
            cluster=materials.cluster,
        )


def continuing(plan: Plan, earlier: Sequence[TrialRecord]) -> str:
    """What of an earlier search still counts: a changed space keeps the trials that lie in it."""
    inside = sum(_lies_in(plan, record) for record in earlier)
    said = f"continuing: {counted(len(earlier), 'trial')} from before"
    outside = len(earlier) - inside
    if not outside:
        return said
    lie, do = ("lies", "does") if outside == 1 else ("lie", "do")
    return f"{said}; {outside} {lie} outside the space as it is now and {do} not teach the sampler"


def _lies_in(plan: Plan, record: TrialRecord) -> bool:
    try:
        plan.space.encode(record.params)
    except OutsideSpace:
        return False
    return True


def _interrupted(materials: Materials, records: Sequence[TrialRecord], signal: int, watch: _Stopwatch) -> Exit:
    """Leave a summary and say how to go on."""
    _summarise(materials, "interrupted", records, (), watch)
    materials.console.print(f"interrupted; continue with: {materials.launch.command}", markup=False, soft_wrap=True)
    return Exit(128 + signal)


def _conclude(materials: Materials, outcome: Outcome, finalists: Sequence[Finalist], watch: _Stopwatch) -> Exit:
    """Export the best, score it once on the test split, judge the gate, write summary and report."""
    plan, run, launch = materials.plan, materials.run, materials.launch
    test: Mapping[str, float] = {}
    references: Sequence[Reference] = ()
    if finalists:
        winner = next(record for record in outcome.records if record.number == finalists[0].trial)
        weights = write_best(materials, winner, finalists)
        # Whatever scoring may come to, the search is not lost.
        _summarise(materials, "finished", outcome.records, finalists, watch)
        splits = [split for split in plan.task.splits(materials.dataset) if split != "test" or launch.scores_test]
        if weights is not None and splits:
            materials.console.print("scoring the best on held-out data, beside its references ...", style="dim")
            scores = {split: plan.task.evaluate(weights, data=materials.dataset, split=split) for split in splits}
            write_json(run.best / "scores.json", {split: each.to_json() for split, each in scores.items()})
            test = scores["test"].metrics if "test" in scores else {}
            references = plan.task.references(weights, data=materials.dataset, split=splits[-1])
    summary = _summarise(materials, "finished", outcome.records, finalists, watch, test=test, references=references)
    told = read_run(run.path)
    page = write_report(run.path, told)
    annotate(run.path, told)
    log.info("finished; the report is %s", page)
    if launch.json:
        if launch.stage is None:
            sys.stdout.write(run.summary.read_text(encoding="utf-8"))
    else:
        for sentence in sentences(summary, str(run.path)):
            sys.stdout.write(visible(sentence) + "\n")
    complete = any(record.state == "complete" for record in outcome.records)
    return Exit.DONE if complete else Exit.NOTHING_COMPLETE


def _summarise(
    materials: Materials,
    state: str,
    records: Sequence[TrialRecord],
    finalists: Sequence[Finalist],
    watch: _Stopwatch,
    *,
    test: Mapping[str, float] | None = None,
    references: Sequence[Reference] = (),
) -> dict[str, Any]:
    plan = materials.plan
    gate = None
    if finalists and plan.gate:
        gate = judge_run(plan, materials.run, finalists[0], records, materials.baselines)
    summary = summarise(
        plan,
        state=state,
        records=records,
        spent=_spent(plan, records, watch),
        baselines=materials.baselines,
        finalists=finalists,
        gate=gate.to_json() if gate else None,
        references=references,
        test=test or {},
    )
    if finalists and (begun := begun_with(plan, materials.run, finalists[0].trial)) is not None:
        summary["begun_with"] = begun
    write_json(materials.run.summary, summary)
    return summary


def _spent(plan: Plan, records: Sequence[TrialRecord], watch: _Stopwatch) -> Spent:
    """What was spent, and what stopping saved; trials of a task without `epochs` count as they are."""
    ended = [record for record in records if record.state in {"complete", "pruned"}]
    lengths = [
        length_of(resolve(plan.task.options, {**plan.train, **record.params})) or record.epochs for record in ended
    ]
    saved: Counter[str] = Counter()
    for record, length in zip(ended, lengths, strict=True):
        if record.pruned_by is not None:
            saved[record.pruned_by] += max(0, length - record.epochs)
    return Spent(
        total=watch.elapsed(),
        first_report=watch.first_report,
        unpruned_epochs=sum(lengths),
        saved_by=dict(saved.most_common()),
    )
