"""Confirmation: the leaders of a search trained again, to the end, with seeds (and folds) the search never saw."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from rich.console import Console

from abr_tune.finalists import Finalist, finalist, leaders, rank, unfinished_leaders
from abr_tune.materials import Materials, confirmation_seeds, divided, lenient
from abr_tune.plan.overrides import resolve
from abr_tune.plan.plan import Plan
from abr_tune.report.wording import counted
from abr_tune.search.events import TrialRecord
from abr_tune.search.pruning import PRUNERS
from abr_tune.search.search import Trained, Training, train_all
from abr_tune.trial import CHECKPOINT, HISTORY, TrialStep, length_of, read_history
from core.health import judge
from core.report import EpochReport


@dataclass(frozen=True, slots=True)
class Confirmation:
    """The finalists, best first, or the signal that came before there were any."""

    finalists: tuple[Finalist, ...]
    signal: int | None = None
    note: str | None = None
    """What is unusual about the leaders: none met the constraints, or none was trained to its end."""


@dataclass(frozen=True, slots=True)
class Group:
    """Trainings that share their data and health rules: all fresh runs, or those of one fold of one division."""

    plan: Plan
    dataset: Any
    trainings: tuple[Training, ...]


def confirm(materials: Materials, records: Sequence[TrialRecord]) -> Confirmation:
    """Train the leaders with fresh seeds; without confirmation in the plan, the search's winner stands alone."""
    plan = materials.plan
    best, note = chosen(materials, records)
    groups = _groups(materials, best)
    last: dict[Path, EpochReport | None] = {}
    with _progress(materials.console, groups, materials.baselines, quiet=materials.launch.json) as see:
        for group in groups:
            batch = train_all(
                group.trainings,
                group.plan,
                dataset=group.dataset,
                baselines=materials.baselines if not plan.confirm.folds else plan.task.baselines(group.dataset),
                executor=materials.launch.executor,
                jobs=materials.jobs,
                listener=see,
                cluster=materials.cluster,
            )
            if batch.signal is not None:
                return Confirmation((), batch.signal)
            last |= {trained.training.folder: _judged_by(trained, plan) for trained in batch.trained}
    finalists = []
    for record in best:
        folders = [materials.run.path / run for run in runs_of(plan, record.number)]
        fresh = finalist(
            record,
            [last[folder] for folder in folders],
            plan.objectives,
            constraints=plan.constraints,
            folds=plan.confirm.folds if folders else 0,
            runs=runs_of(plan, record.number),
        )
        finalists.append(fresh)
    return Confirmation(tuple(rank(finalists, plan.objectives)), note=note)


def chosen(materials: Materials, records: Sequence[TrialRecord]) -> tuple[list[TrialRecord], str | None]:
    """The trials to be trained again, best first, and what is unusual about them."""
    plan = materials.plan
    top = plan.confirm.top if confirmation_seeds(plan) else 1
    found = leaders(records, plan.objectives, top)
    if found and not found[0].feasible:
        missed = {name: by for name, by in found[0].violations.items() if by > 0}
        said = ", ".join(f"{name} by {by:.4g}" for name, by in missed.items())
        return found, f"no trial meets the constraints; trial {found[0].number}, which misses least, misses {said}"
    if found:
        return found, None
    histories = {record.number: read_history(materials.run.trial(record.number) / HISTORY) for record in records}
    found = unfinished_leaders(records, histories, plan.objectives, plan.constraints, top)
    if not found:
        return [], None
    first = found[0]
    rest = "what follows is of their fresh runs" if confirmation_seeds(plan) else "nothing is claimed of it"
    return found, (
        f"no trial was trained to its end; the furthest leads: trial {first.number}, stopped at epoch {first.epochs} "
        f"with {plan.objective.metric} {first.value:.4g}; {rest}"
    )


def runs_of(plan: Plan, number: int) -> list[str]:
    """The folders of a leader's fresh runs, relative to the run's: by seed, and for each by fold."""
    folds = [f"-fold{fold + 1}" for fold in range(plan.confirm.folds)] or [""]
    return [f"confirm/{number}-{seed}{fold}" for seed in confirmation_seeds(plan) for fold in folds]


def _groups(materials: Materials, best: Sequence[TrialRecord]) -> list[Group]:
    """What is to be trained, by what it shares.

    Of folds, every seed has a division of its own: with several seeds, that is repeated k-fold cross-validation.
    """
    plan = materials.plan
    seeds = confirmation_seeds(plan)
    if not seeds or not best:
        return []
    if plan.confirm.folds:
        parts = [(part, [seed]) for index, seed in enumerate(seeds) for part in divided(plan, materials.dataset, index)]
    else:
        parts = [(materials.dataset, seeds)]
    watched: dict[Any, list[TrialRecord]] = {}
    for record in best:
        watched.setdefault(lenient(materials, record).health, []).append(record)
    groups = []
    for place, (part, with_seeds) in enumerate(parts):
        for health, records in watched.items():
            trainings = [
                Training(
                    options=resolve(plan.task.options, {**plan.train, **record.params}),
                    seed=seed,
                    folder=materials.run.path / runs_of(plan, record.number)[place + index],
                )
                for record in records
                for index, seed in enumerate(with_seeds)
            ]
            groups.append(Group(replace(plan, health=health), part, tuple(trainings)))
    return groups


def _judged_by(trained: Trained, plan: Plan) -> EpochReport | None:
    """The report a fresh run is judged by: its last, also when a health rule stopped it; none when it broke.

    Where each report is a fold or seed of its own, as under `wilcoxon`, it carries the means over all of them.
    """
    if trained.error or not trained.reports:
        return None
    last = trained.reports[-1]
    if not PRUNERS[plan.pruner.kind].every_report:
        return last
    shared = set.intersection(*(set(report.metrics) for report in trained.reports))
    means = {name: fmean(report.metrics[name] for report in trained.reports) for name in sorted(shared)}
    return replace(last, metrics=means)


def _read_back(training: Training, plan: Plan, baselines: Mapping[str, float]) -> bool:
    """Whether a training has ended before, at its last epoch or by a health rule, and only says its result again."""
    history = read_history(training.folder / HISTORY)
    if not history or not (training.folder / CHECKPOINT).exists():
        return False
    length = length_of(training.options)
    stopped = any(verdict.level == "stop" for verdict in judge(history, plan.health, baselines, length))
    return stopped or history[-1].epoch == length


@contextmanager
def _progress(
    console: Console, groups: Sequence[Group], baselines: Mapping[str, float], *, quiet: bool
) -> Iterator[Callable[[Training, TrialStep], None]]:
    """Shows how far confirmation is: a bar in a terminal, one line elsewhere, nothing when all is read back."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    trainings = [training for group in groups for training in group.trainings]
    lengths = [length_of(training.options) for training in trainings]
    known = [length for length in lengths if length is not None]
    total = sum(known) if len(known) == len(lengths) else None
    new = sum(not _read_back(one, group.plan, baselines) for group in groups for one in group.trainings)
    read_back = f", {len(trainings) - new} read back" if new < len(trainings) else ""
    said = f"confirming the leaders: {counted(new, 'training')} with fresh seeds{read_back}"
    quiet = quiet or not new
    if not console.is_terminal and not quiet:
        console.print(said)
    columns = (TextColumn(said), BarColumn(), MofNCompleteColumn(), TextColumn("epochs"), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=quiet or not console.is_terminal) as bar:
        task = bar.add_task("", total=total)

        def see(training: Training, step: TrialStep) -> None:
            for said in step.notes:
                console.print(f"{training.folder.name}: {said}", markup=False)
            bar.advance(task, int(step.report.complete))

        yield see
