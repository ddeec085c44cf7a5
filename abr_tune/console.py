"""What a person sees while a search runs: a live table in a terminal, a line per finished trial in a pipe."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from abr_tune.search.events import EpochDone, Event, Listener, TrialFinished, TrialRecord, TrialStarted, VerdictGiven

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

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

    return Console(stderr=True, highlight=False, soft_wrap=not sys.stderr.isatty())


@dataclass(slots=True)
class Running:
    """A trial on its way, as the table shows it."""

    name: str
    epoch: int = 0
    phase: str = ""
    value: float | None = None
    health: str = "ok"


@dataclass(slots=True)
class Scoreboard:
    """The state of a search, kept up to date by its events."""

    objective: Objective
    trials: int
    epochs_per_trial: int | None
    deadline: float | None = None
    """Monotonic time at which the budget ends."""
    started: float = field(default_factory=time.monotonic)
    running: dict[int, Running] = field(default_factory=dict)
    finished: Counter[str] = field(default_factory=Counter)
    pruned_by: Counter[str] = field(default_factory=Counter)
    best: tuple[float, int] | None = None
    epochs: int = 0
    unpruned: int = 0
    earlier: int = 0
    """Trials that had ended before this command."""

    def recall(self, records: Iterable[TrialRecord]) -> None:
        """Take in the trials that ended in earlier commands of the same run."""
        for record in records:
            if record.state in {"complete", "pruned", "failed"}:
                self.epochs += record.epochs
                self._end(record)
        self.earlier = self.done

    def see(self, event: Event) -> None:
        """Take in what happened."""
        match event:
            case TrialStarted(number, name, _, resumed_at):
                self.running[number] = Running(name or "", epoch=resumed_at)
            case EpochDone(number, report, value):
                self.epochs += 1
                row = self.running.setdefault(number, Running(""))
                row.epoch, row.phase = report.epoch, report.phase
                row.value = row.value if value is None else value
            case VerdictGiven(number, verdict):
                self.running.setdefault(number, Running("")).health = f"{verdict.level}: {verdict.rule}"
            case TrialFinished(record):
                self.running.pop(record.number, None)
                self._end(record)

    def _end(self, record: TrialRecord) -> None:
        self.finished[record.state] += 1
        if record.state != "failed":
            self.unpruned += self.epochs_per_trial or record.epochs
        if record.pruned_by:
            self.pruned_by[record.pruned_by] += 1
        if record.state == "complete" and record.value is not None and self.beats(record.value):
            self.best = (record.value, record.number)

    def beats(self, value: float) -> bool:
        """Whether `value` is better than the best so far."""
        if self.best is None:
            return True
        return value > self.best[0] if self.objective.direction == "maximize" else value < self.best[0]

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
        """`12/40 trials  5 kept  7 pruned  0 failed  96 epochs, 144 saved  3m left`."""
        saved = max(0, self.unpruned - self.epochs)
        left = self.left()
        parts = [
            f"{self.done}/{self.trials} trials",
            f"{self.finished['complete']} kept",
            f"{self.finished['pruned']} pruned",
            f"{self.finished['failed']} failed",
            f"{self.epochs} epochs, {saved} saved",
        ]
        return "  ".join([*parts, f"about {clock(left)} left"] if left is not None else parts)


def line(event: TrialFinished, board: Scoreboard) -> str:
    """One finished trial on one line, aligned with the lines before."""
    record = event.record
    best = f"best {board.best[0]:.4f} (#{board.best[1]})" if board.best else "best -"
    value = "      -" if record.value is None else f"{record.value:7.4f}"
    name = f"  [{record.name}]" if record.name else ""
    tail = f"  {record.pruned_by}: {record.why}" if record.state == "pruned" else f"  {record.error or ''}".rstrip()
    return (
        f"{board.done:4d}/{board.trials}  #{record.number:<4d} {record.state:8s} {value}  {best:18s} "
        f"{record.epochs:3d} epochs {clock(record.seconds):>7s}{name}{tail}  {parameters(record.params)}"
    )


def table(board: Scoreboard) -> RenderableType:
    """The live table: counts, the best so far, the running trials, what was stopped by which rule."""
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False, expand=False)
    for column in ("trial", "start point", "phase", "epoch", board.objective.metric, "health"):
        grid.add_column(
            column, justify="right" if column in {"trial", "epoch"} else "left", overflow="ellipsis", no_wrap=True
        )
    for number, row in sorted(board.running.items()):
        total = f"/{board.epochs_per_trial}" if board.epochs_per_trial else ""
        value = "-" if row.value is None else f"{row.value:.4f}"
        health = Text(row.health, style="green" if row.health == "ok" else "yellow")
        grid.add_row(f"#{number}", Text(row.name), Text(row.phase), f"{row.epoch}{total}", value, health)
    head = Text(board.counts(), style="bold")
    best = Text(f"best so far {board.best[0]:.4f} (trial {board.best[1]})" if board.best else "no trial complete yet")
    stopped = "  ".join(f"{rule} {count}" for rule, count in board.pruned_by.most_common())
    return Group(head, best, grid, Text(f"stopped by: {stopped}" if stopped else "", style="dim"))


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

    return see


def _live(board: Scoreboard, console: Console) -> Listener:
    def see(event: Event) -> None:
        board.see(event)
        if isinstance(event, TrialFinished) and event.record.state != "complete":
            console.print(line(event, board), markup=False, style="dim", overflow="ellipsis", no_wrap=True)

    return see
