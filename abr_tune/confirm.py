"""Confirmation: the leaders of a search trained again, to the end, with seeds the search never saw."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from abr_tune.finalists import Finalist, finalist, leaders, rank
from abr_tune.materials import Materials, confirmation_seeds
from abr_tune.plan.overrides import resolve
from abr_tune.report.wording import counted
from abr_tune.search.events import TrialRecord
from abr_tune.search.search import Trained, Training, train_all
from abr_tune.trial import TrialStep
from core.report import EpochReport


@dataclass(frozen=True, slots=True)
class Confirmation:
    """The finalists, best first, or the signal that came before there were any."""

    finalists: tuple[Finalist, ...]
    signal: int | None = None


def confirm(materials: Materials, records: Sequence[TrialRecord]) -> Confirmation:
    """Train the leaders with fresh seeds; without confirmation in the plan, the search's winner stands alone."""
    plan = materials.plan
    seeds = confirmation_seeds(plan)
    best = leaders(records, plan.objective, plan.confirm.top if seeds else 1)
    trainings = {
        (record.number, seed): Training(
            options=resolve(plan.task.options, {**plan.train, **record.params}),
            seed=seed,
            folder=materials.run.confirmation(record.number, seed),
        )
        for record in best
        for seed in seeds
    }
    last: dict[Path, EpochReport | None] = {}
    if trainings:
        with _progress(materials.console, list(trainings.values()), quiet=materials.launch.json) as see:
            batch = train_all(
                list(trainings.values()),
                plan,
                dataset=materials.dataset,
                baselines=materials.baselines,
                executor=materials.launch.executor,
                jobs=materials.jobs,
                listener=see,
                cluster=materials.cluster,
            )
        if batch.signal is not None:
            return Confirmation((), batch.signal)
        last = {trained.training.folder: _last(trained) for trained in batch.trained}
    finalists = [
        finalist(record, [last[trainings[record.number, seed].folder] for seed in seeds], plan.objective)
        for record in best
    ]
    return Confirmation(tuple(rank(finalists, plan.objective)))


def _last(trained: Trained) -> EpochReport | None:
    """The report a fresh run is judged by: its last, also when a health rule stopped it; none when it broke."""
    return None if trained.error or not trained.reports else trained.reports[-1]


@contextmanager
def _progress(
    console: Console, trainings: Sequence[Training], *, quiet: bool
) -> Iterator[Callable[[Training, TrialStep], None]]:
    """Shows how far confirmation is: a bar in a terminal, one line at its beginning elsewhere."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    lengths = [getattr(training.options, "epochs", None) for training in trainings]
    known = [length for length in lengths if isinstance(length, int)]
    total = sum(known) if len(known) == len(lengths) else None
    said = f"confirming the leaders: {counted(len(trainings), 'training')} with fresh seeds"
    if not console.is_terminal and not quiet:
        console.print(said)
    columns = (TextColumn(said), BarColumn(), MofNCompleteColumn(), TextColumn("epochs"), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=quiet or not console.is_terminal) as bar:
        task = bar.add_task("", total=total)

        def see(_training: Training, step: TrialStep) -> None:
            bar.advance(task, int(step.report.complete))

        yield see
