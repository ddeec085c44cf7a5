"""What a person sees while a search runs: a live table in a terminal, a line per finished trial in a pipe."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from abr_tune.front import front, values_of
from abr_tune.plain import visible, visible_lines
from abr_tune.search.events import (
    AlarmRaised,
    EpochDone,
    Event,
    Listener,
    TrialFinished,
    TrialPaused,
    TrialRecord,
    TrialStarted,
    VerdictGiven,
    Warned,
)

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from core.report import EpochReport
    from core.tasks.task import Objective


def clock(seconds: float) -> str:
    """`75` -> `1m15s`: the length of a time, for people."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02d}m" if hours else f"{minutes}m{rest:02d}s" if minutes else f"{rest}s"


def brief(value: object) -> str:
    """A parameter value in a few characters."""
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key} {brief(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(brief(item) for item in value) + "]"
    return str(value)


def parameters(params: Mapping[str, Any]) -> str:
    """`path value` pairs on one line."""
    return "  ".join(f"{path} {brief(value)}" for path, value in params.items())


def stderr_console() -> Console:
    """A console for messages and progress: standard error, plain in a pipe, NO_COLOR obeyed."""
    from rich.console import Console

    class Messages(Console):
        """Text given to it comes from anywhere: a terminal is to show and not to obey it."""

        def print(self, *objects: Any, **how: Any) -> None:
            super().print(*(visible_lines(one) if isinstance(one, str) else one for one in objects), **how)

    return Messages(stderr=True, highlight=False, soft_wrap=not sys.stderr.isatty())


def short(metric: str) -> str:
    """`val/class/f1_macro` -> `f1_macro`: the head of a column."""
    return metric.rpartition("/")[2]


@dataclass(slots=True)
class Running:
    """A trial on its way, as the table shows it."""

    name: str
    epoch: int = 0
    phase: str = ""
    values: tuple[float | None, ...] = ()
    """The objectives at the last epoch that had them."""
    health: str = "ok"
    stopped_by: str = ""
    """The rule that would have ended it; still running after that, it is being audited."""
    audited: bool = False


@dataclass(slots=True)
class Scoreboard:
    """The state of a search, kept up to date by its events."""

    objectives: tuple[Objective, ...]
    trials: int
    epochs_per_trial: int | None
    deadline: float | None = None
    """Monotonic time at which the budget ends."""
    started: float = field(default_factory=time.monotonic)
    running: dict[int, Running] = field(default_factory=dict)
    paused: dict[int, Running] = field(default_factory=dict)
    finished: Counter[str] = field(default_factory=Counter)
    pruned_by: Counter[str] = field(default_factory=Counter)
    saved_by: Counter[str] = field(default_factory=Counter)
    """Rule -> epochs that the trials it stopped were not trained."""
    leaders: list[TrialRecord] = field(default_factory=list)
    """The best so far: one trial, or the front of several objectives."""
    epochs: int = 0
    audits: int = 0
    """Trials that ran to their end although a rule would have stopped them."""
    alarm: str = ""
    earlier: int = 0
    """Trials that had ended before this command."""
    stage: str | None = None
    """Which of several stages this is; None for a search of its own."""

    def recall(self, records: Iterable[TrialRecord]) -> None:
        """Take in the trials of earlier commands of the same run: those that ended, and those that wait to go on."""
        for record in records:
            self.epochs += record.epochs
            if record.state in {"complete", "pruned", "failed"}:
                self._end(record)
            elif record.state == "waiting" and record.epochs:
                self.paused[record.number] = Running(record.name or "", record.epochs)
        self.earlier = self.done

    def see(self, event: Event) -> None:
        """Take in what happened."""
        match event:
            case TrialStarted(number, name, _, resumed_at):
                self.running[number] = self.paused.pop(number, Running(name or ""))
                self.running[number].epoch = resumed_at
            case EpochDone(number, report, _):
                self.epochs += 1
                self._epoch(self.running.setdefault(number, Running("")), report)
            case VerdictGiven(number, verdict):
                row = self.running.setdefault(number, Running(""))
                row.health = f"{verdict.level}: {verdict.rule}"
                row.stopped_by = verdict.rule if verdict.level == "stop" else row.stopped_by
            case TrialPaused(number, _):
                self.paused[number] = self.running.pop(number, Running(""))
            case AlarmRaised(_, why):
                self.alarm = why
            case Warned():
                pass
            case TrialFinished(record):
                self.running.pop(record.number, None)
                self.paused.pop(record.number, None)
                self._end(record)

    def _epoch(self, row: Running, report: EpochReport) -> None:
        """A warning is repeated as long as it holds; a stop that is not obeyed is an audit."""
        row.epoch, row.phase = report.epoch, report.phase
        known = row.values or (None,) * len(self.objectives)
        row.values = tuple(
            report.metrics.get(objective.metric, before)
            for objective, before in zip(self.objectives, known, strict=True)
        )
        row.audited = bool(row.stopped_by)
        row.health = f"audit: {row.stopped_by}" if row.audited else "ok"

    def _end(self, record: TrialRecord) -> None:
        self.finished[record.state] += 1
        self.audits += record.audited is not None
        if record.pruned_by:
            self.pruned_by[record.pruned_by] += 1
            self.saved_by[record.pruned_by] += max(0, (self.epochs_per_trial or 0) - record.epochs)
        if record.state == "complete":
            self.leaders = front([*self.leaders, record], self.objectives)

    @property
    def best(self) -> TrialRecord | None:
        """The leader by the first objective."""
        return self.leaders[0] if self.leaders else None

    @property
    def done(self) -> int:
        """Trials that count towards the budget."""
        return self.finished["complete"] + self.finished["pruned"]

    def left(self) -> float | None:
        """Seconds until the search is over at the present pace, None while nothing has finished."""
        here = self.done - self.earlier
        if not here:
            return None
        now = time.monotonic()
        by_pace = (now - self.started) / here * max(0, self.trials - self.done)
        return by_pace if self.deadline is None else min(by_pace, max(0.0, self.deadline - now))

    def counts(self) -> str:
        """`12/40 trials  5 kept  7 pruned  0 failed  2 paused`, after the stage's name, if it is one."""
        parts = [
            *([self.stage] if self.stage else []),
            f"{self.done}/{self.trials} trials",
            f"{self.finished['complete']} kept",
            f"{self.finished['pruned']} pruned",
            f"{self.finished['failed']} failed",
        ]
        parts += [f"{len(self.paused)} paused"] if self.paused else []
        return "  ".join([*parts, f"{self.audits} audited"] if self.audits else parts)

    def spending(self) -> str:
        """`96 epochs spent, 144 saved  about 3m00s left`."""
        left = self.left()
        said = f"{self.epochs} epochs spent, {self.saved_by.total()} saved"
        return said if left is None else f"{said}  about {clock(left)} left"

    def standing(self) -> str:
        """`best so far  f1_macro 0.4821 (trial 9)`; of several objectives the front's size and its leader."""
        best = self.best
        if best is None:
            return "no trial complete yet"
        scores = ", ".join(
            f"{short(objective.metric)} {value:.4f}"
            for objective, value in zip(self.objectives, values_of(best), strict=True)
        )
        front_size = f"; {len(self.leaders)} on the front" if len(self.objectives) > 1 else ""
        return f"best so far  {scores} (trial {best.number}{front_size})"


def line(event: TrialFinished, board: Scoreboard) -> str:
    """One finished trial on one line, aligned with the lines before."""
    record = event.record
    best = f"best {board.best.value:.4f} (#{board.best.number})" if board.best else "best -"
    values = " ".join(f"{value:7.4f}" for value in values_of(record)) or "      -"
    name = f"  [{record.name}]" if record.name else ""
    stage = f"{board.stage}  " if board.stage else ""
    return visible(
        f"{stage}{board.done:4d}/{board.trials}  #{record.number:<4d} {record.state:8s} {values}  {best:18s} "
        f"{record.epochs:3d} epochs {clock(record.seconds):>7s}{name}{_ending(record)}  {parameters(record.params)}"
    )


def _ending(record: TrialRecord) -> str:
    """Why a trial ended as it did, where there is something to say."""
    if record.state == "pruned":
        return f"  {record.pruned_by}: {record.why}"
    if record.audited is not None:
        return f"  {audit_of(record)}"
    missed = [name for name, by in record.violations.items() if by > 0]
    if record.state == "complete" and missed:
        return f"  misses {', '.join(missed)}"
    return f"  {record.error or ''}".rstrip()


def audit_of(record: TrialRecord) -> str:
    """What would have stopped an audited trial, and when; empty for any other."""
    seen = record.audited
    return "" if seen is None else f"audit: {seen.get('rule')} would have stopped it at epoch {seen.get('epoch')}"


def table(board: Scoreboard) -> RenderableType:
    """The live table: counts, the best so far, what was stopped by which rule, an alarm, and the running trials."""
    from rich.console import Group
    from rich.text import Text

    parts: list[RenderableType] = [Text(board.counts(), style="bold"), Text(board.spending()), Text(board.standing())]
    if board.pruned_by:
        stopped = ", ".join(
            f"{rule} {count}" + (f" ({board.saved_by[rule]} saved)" if board.saved_by[rule] else "")
            for rule, count in board.pruned_by.most_common()
        )
        parts.append(Text(visible(f"stopped by   {stopped}"), style="dim"))
    if board.alarm:
        parts.append(Text(visible(f"alarm        {board.alarm}"), style="bold red"))
    return Group(*parts, _running(board))


def _running(board: Scoreboard) -> RenderableType:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    heads = ("trial", "phase", "epoch", *(short(objective.metric) for objective in board.objectives), "health")
    for column in heads:
        # Where there is too little room, names and phases give way and numbers do not: rich narrows what may wrap.
        gives_way = column in {"trial", "phase"}
        side: Literal["left", "right"] = "left" if gives_way or column == "health" else "right"
        grid.add_column(column, justify=side, no_wrap=not gives_way)
    for number, row in sorted(board.running.items()):
        total = f"/{board.epochs_per_trial}" if board.epochs_per_trial else ""
        values = row.values or (None,) * len(board.objectives)
        grid.add_row(
            Text(visible(f"#{number} {row.name}".rstrip()), no_wrap=True, overflow="ellipsis"),
            Text(visible(row.phase), no_wrap=True, overflow="ellipsis"),
            f"{row.epoch}{total}",
            *("-" if value is None else f"{value:.4f}" for value in values),
            Text(visible(row.health), style="green" if row.health == "ok" else "yellow"),
        )
    return grid


@contextmanager
def watching(board: Scoreboard, *, console: Console, quiet: bool = False) -> Iterator[Listener]:
    """A listener that shows the search: live in a terminal, line by line elsewhere, nothing when `quiet`."""
    if quiet:
        yield board.see
    elif console.is_terminal:
        from rich.live import Live

        with Live(get_renderable=lambda: table(board), console=console, refresh_per_second=4) as live:
            yield _live(board, live.console)
    else:
        yield _lines(board, lambda text: console.print(text, markup=False))


def _lines(board: Scoreboard, write: Callable[[str], None]) -> Listener:
    def see(event: Event) -> None:
        board.see(event)
        if isinstance(event, TrialFinished):
            write(line(event, board))
        elif isinstance(event, AlarmRaised):
            write(visible(f"alarm: {event.why}"))
        elif isinstance(event, Warned):
            write(visible(f"trial {event.number}: {event.text}"))

    return see


def _live(board: Scoreboard, console: Console) -> Listener:
    def see(event: Event) -> None:
        board.see(event)
        if isinstance(event, TrialFinished) and event.record.state != "complete":
            console.print(line(event, board), markup=False, style="dim", overflow="ellipsis", no_wrap=True)
        elif isinstance(event, Warned):
            console.print(visible(f"trial {event.number}: {event.text}"), markup=False)

    return see
