"""One training in a folder: reports judged as they come, history and configuration on disk; knows no study.

folder/
  config.yaml       what is trained (JSON, which YAML readers read)
  history.jsonl     one epoch report a line, on disk before the report is passed on
  checkpoint/       the task's own
  traceback.txt     only when the task's code raised
"""

from __future__ import annotations

import json
import math
import os
import shutil
import sys
import traceback
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, TextIO, TypeVar

from pydantic import BaseModel

from abr_tune.errors import AbrTuneError, disk_fault
from abr_tune.exhaustion import out_of_memory
from abr_tune.heard import Heard, heard
from abr_tune.limits import UNLIMITED, Meter, OverLimit
from abr_tune.plan.plan import Limits
from abr_tune.runs import write_atomically
from core.health import HealthOptions, Verdict, judge
from core.health.intervention import MADE
from core.health.odds import State, state_of
from core.report import EpochReport, Intervention, NotFinite
from core.tasks.task import Task
from core.training.watch_log import NAME as WATCH

CONFIG: Final = "config.yaml"
HISTORY: Final = "history.jsonl"
CHECKPOINT: Final = "checkpoint"
TRACEBACK: Final = "traceback.txt"

Item = TypeVar("Item")


UNSPARING: Final = frozenset({"non_finite", "limit_time", "limit_memory"})
"""What ends a training whatever leave it has: it cannot go on, or must not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leave:
    """Which stops by health rules a training need not obey. NaN, infinity and limits end it all the same."""

    audited: bool = False
    """None: it is to show how it would have ended."""
    held: frozenset[State] = frozenset()
    """Those in such a state, in which the rules are known to be hasty."""
    length: int | None = None
    """Epochs it is going to train, where its options say; a state is told by it."""

    def spares(self, report: EpochReport, verdicts: tuple[Verdict, ...]) -> bool:
        """Whether it goes on although a rule stops it."""
        stops = {verdict.rule for verdict in verdicts if verdict.level == "stop"}
        if not stops or stops & UNSPARING:
            return False
        return self.audited or state_of(report, verdicts, self.length) in self.held

    def to_json(self) -> dict[str, Any]:
        """For the way to a worker."""
        return {"audited": self.audited, "held": sorted(each.to_json() for each in self.held), "length": self.length}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Leave:
        """The leave that `to_json` wrote."""
        return cls(**{**record, "held": frozenset(State.from_json(each) for each in record["held"])})


NO_LEAVE: Final = Leave()


@dataclass(frozen=True, slots=True)
class TrialStep:
    """A report and what the health rules say of it."""

    report: EpochReport
    verdicts: tuple[Verdict, ...] = ()
    spared: bool = False
    """The training goes on although a rule stops it: it has leave to."""
    notes: tuple[str, ...] = ()
    """What was logged as a warning on the way to this report."""

    @property
    def stop(self) -> Verdict | None:
        """The verdict that ends the training, if any."""
        return None if self.spared else self.would_stop

    @property
    def intervention(self) -> Intervention | None:
        """What a rule asks for instead of a stop."""
        asked = next((verdict for verdict in self.verdicts if verdict.level == "intervene"), None)
        return None if asked is None or self.stop else Intervention(float(asked.evidence["lower_rate"]))

    @property
    def would_stop(self) -> Verdict | None:
        """The verdict that ends the training, or would if it had no leave."""
        return next((verdict for verdict in self.verdicts if verdict.level == "stop"), None)

    def to_json(self) -> dict[str, Any]:
        """Plain numbers and words, for the way back from a worker."""
        verdicts = [asdict(verdict) for verdict in self.verdicts]
        said = {"notes": self.notes} if self.notes else {}
        return {"report": self.report.to_json(), "verdicts": verdicts, "spared": self.spared} | said

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> TrialStep:
        """The step that `to_json` wrote."""
        verdicts = tuple(Verdict(**each) for each in record["verdicts"])
        notes = tuple(record.get("notes", ()))
        return cls(EpochReport.from_json(record["report"]), verdicts, record["spared"], notes)


@dataclass(frozen=True, slots=True)
class Crash:
    """The task's code raised: `error` in one line; the whole story is in the folder's `traceback.txt`."""

    error: str
    out_of_memory: bool = False
    """It could not have the memory it wanted, which it may have another time."""


def training_config(
    task: str,
    options: BaseModel,
    *,
    seed: int,
    data: Mapping[str, Any] | None = None,
    start: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """What `config.yaml` says: enough to train the same configuration again, from the folder it lies in."""
    config: dict[str, Any] = {"task": task}
    if data is not None:
        config["data"] = dict(data)
    begun = {} if start is None else {"start": dict(start)}
    return config | {"train": options.model_dump(mode="json", by_alias=True), "seed": seed} | begun


def run_trial(
    task: Task,
    options: BaseModel,
    *,
    seed: int,
    folder: Path,
    data: Any,
    health: HealthOptions,
    baselines: Mapping[str, float],
    config: Mapping[str, Any] | None = None,
    since: int = 0,
    cpus: int = 1,
    leave: Leave = NO_LEAVE,
    limits: Limits = UNLIMITED,
    expendable: bool = False,
    start: Path | None = None,
) -> Iterator[TrialStep]:
    """Train `options` in `folder` until the task is done, a rule or a limit stops it; the stop is in the last step.

    Where the folder holds a checkpoint, training goes on from it: the reports of earlier epochs come again from the
    history (those after epoch `since`, and always the last), then new ones. Without one, it begins again and the old
    history is dropped; so it does where the history is damaged, without which nothing could be judged as before. `data`
    is what `task.load` returned, None for a task without data; `start` holds the weights it begins from, where it does
    not begin with random ones; `config` overrides what `config.yaml` says. Whatever the task raises passes through. A
    limit that is passed within an epoch cuts it short; an `expendable` process may end itself for it. Seconds of
    earlier parts are those of the history's reports.
    """
    pin_threads(cpus)
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / CONFIG).exists():
        write_atomically(
            folder / CONFIG, json.dumps(config or training_config(task.name, options, seed=seed), indent=2) + "\n"
        )
    # A task of the user's own need not know either.
    given = ({} if data is None else {"data": data}) | ({} if start is None else {"start": start})
    judging = _Judging(health, baselines, leave, limits, expendable, length_of(options))

    def steps(since: int) -> Iterator[TrialStep]:
        trained = task.train(options, seed=seed, checkpoint=folder / CHECKPOINT, **given)
        with closing(answerable(trained)) as reports:
            yield from _judged(reports, folder / HISTORY, judging, since)

    with heard() as said:
        if _checkpoint_lost(folder, since):
            said.say("its checkpoint is gone, it begins again at epoch 1")
        try:
            yield from _told(steps(since), said)
        except _Gap as gap:
            said.say(f"{gap}; training begins again")
            (folder / HISTORY).unlink(missing_ok=True)
            shutil.rmtree(folder / CHECKPOINT, ignore_errors=True)
            yield from _told(steps(0), said)


def _checkpoint_lost(folder: Path, since: int) -> bool:
    """Whether the training had got somewhere, and nothing is there that it could go on from."""
    checkpoint = folder / CHECKPOINT
    if checkpoint.is_file() or (checkpoint.is_dir() and any(path.name != WATCH for path in checkpoint.iterdir())):
        return False
    return since > 0 or any(report.complete for report in read_history(folder / HISTORY))


def _told(steps: Iterator[TrialStep], said: Heard) -> Iterator[TrialStep]:
    """The steps with what was said on the way to each."""
    with closing(closable(steps)) as told:
        for step in told:
            yield replace(step, notes=said.take())


def length_of(options: BaseModel) -> int | None:
    """Epochs that a training with these options takes; None where the task's options do not say."""
    length = getattr(options, "epochs", None)
    return length if isinstance(length, int) else None


def attempt(steps: Iterator[TrialStep], folder: Path) -> Iterator[TrialStep | Crash]:
    """`steps`, where an exception of the task's own code becomes a last `Crash` and a traceback file.

    A task that would report a number that is not finite has diverged rather than failed: its last step is a stop.

    Raises:
        EnvironmentFault: the disk is full or fails, or `folder` may not be written to, which is no fault of the task's
            and would end every other training as well.
    """
    with closing(closable(steps)) as guarded:
        while True:
            try:
                step = next(guarded)
            except StopIteration:
                return
            except NotFinite as found:
                yield _diverged(found)
                return
            except AbrTuneError:
                raise
            except Exception as error:  # noqa: BLE001 - a user's code may raise anything; it ends one trial, not the search
                yield _crash(error, folder)
                return
            yield step


def _crash(error: Exception, folder: Path) -> Crash:
    if (fault := disk_fault(error, folder)) is not None:
        raise fault from error
    told = "".join(traceback.format_exception(error))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / TRACEBACK).write_text(told, encoding="utf-8")
    except OSError as refused:
        # A library need not say why it could not write: this does.
        if (fault := disk_fault(refused, folder)) is not None:
            raise fault from error
        raise
    return Crash(" ".join("".join(traceback.format_exception_only(error)).split()), out_of_memory(error))


def _diverged(found: NotFinite) -> TrialStep:
    evidence: dict[str, float | str] = {"what": found.name, "value": str(found.value)}
    report = EpochReport(epoch=found.epoch, phase=found.phase, complete=False, evidence=evidence)
    why = f"epoch {found.epoch}: the task reports {found.name} as {found.value}; what cannot be computed is absent"
    return TrialStep(report, (Verdict(level="stop", rule="non_finite", why=why, epoch=found.epoch, evidence=evidence),))


class _Gap(Exception):
    """The history is not whole up to the checkpoint."""


def read_history(path: Path) -> list[EpochReport]:
    """The reports in a `history.jsonl`, up to a line that a crash or a disk has damaged; a missing file is empty."""
    if not path.exists():
        return []
    reports = []
    for line in path.read_bytes().splitlines(keepends=True):
        try:
            if not line.endswith(b"\n"):
                break
            reports.append(EpochReport.from_json(json.loads(line)))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            break
    return reports


def plain(evidence: Mapping[str, Any]) -> dict[str, Any]:
    """Evidence as strict JSON takes it: what is not finite becomes the words nan, inf and -inf."""
    return {
        name: str(value) if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in evidence.items()
    }


def pin_threads(cpus: int) -> None:
    """Let torch use `cpus` threads, whether it is imported already or will be; torch itself is not imported here."""
    # One thread per trial: two trials of two threads on two cores ran four times slower than two of one.
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(cpus)
    if (torch := sys.modules.get("torch")) is not None and torch.get_num_threads() != cpus:
        torch.set_num_threads(cpus)


def answerable(reports: Iterator[EpochReport]) -> Generator[EpochReport, Intervention | None]:
    """`reports` as a generator, which passes on what it is sent where the task's is one."""
    yield from reports


def closable(items: Iterable[Item]) -> Generator[Item]:
    """`items` as a generator, so that `close` reaches it even where a task returned a plain iterator."""
    yield from items


@dataclass(frozen=True, slots=True)
class _Judging:
    """What a training is judged by."""

    health: HealthOptions
    baselines: Mapping[str, float]
    leave: Leave
    limits: Limits
    expendable: bool
    length: int | None

    def step(self, history: Sequence[EpochReport], passed: Verdict | None = None) -> TrialStep:
        """The last report with what is said of it; `passed` is the limit it has passed."""
        found = judge(history, self.health, self.baselines, self.length)
        verdicts = found if passed is None else (passed, *found)
        return TrialStep(history[-1], verdicts, self.leave.spares(history[-1], verdicts))


def _answered(reports: Generator[EpochReport, Intervention | None], answer: Intervention | None) -> EpochReport | None:
    """The next report, after the last one was answered; None at the end.

    Raises NotTaken when an intervention had no effect: the training would neither change nor stop.
    """
    try:
        report = next(reports) if answer is None else reports.send(answer)
    except StopIteration:
        return None
    if answer is not None and not (report.health.get(MADE) or report.evidence.get(MADE)):
        raise NotTaken
    return report


class NotTaken(ValueError):
    """A training was asked to lower its learning rate and did not."""

    def __str__(self) -> str:
        return "the task's train() does not pass on what its reports are answered with: delegate with `yield from`"


def _judged(reports: Generator[EpochReport, Intervention | None], path: Path, judging: _Judging, since: int) -> Iterator[TrialStep]:
    """Record and judge the reports, beginning with what the history keeps of an earlier part of the run."""
    old = read_history(path)
    spent = sum(report.seconds for report in old)
    meter = Meter(judging.limits, path.parent, spent=spent, expendable=judging.expendable)
    history: list[EpochReport] = []
    try:
        first = meter.measured(lambda: next(reports, None), old[-1].epoch + 1 if old else 1)
        if first is None:
            return
        for earlier in _before(first, old, path, since):
            history.append(earlier)
            if earlier.epoch > since:
                yield (step := judging.step(history))
                if step.stop:
                    return
        known = _agree(path, history, first)
        with path.open("a", encoding="utf-8") as file:
            report: EpochReport | None = first
            while report is not None:
                if not known:
                    _append(file, report)
                known = False
                history.append(report)
                yield (step := judging.step(history, meter.verdict(report.epoch)))
                if step.stop:
                    return
                answer = step.intervention
                report = meter.measured(lambda: _answered(reports, answer), report.epoch + 1)  # noqa: B023 - asked at once
    except OverLimit:
        yield _cut_short(history or old, meter)


def _before(first: EpochReport, old: Sequence[EpochReport], path: Path, since: int) -> list[EpochReport]:
    """The old reports that lead to the first that comes now. Raises `_Gap` when they are not all there."""
    before = [report for report in old if report.epoch < first.epoch]
    if _missing(before, first.epoch, known=bool(old) or not since):
        raise _Gap(f"{path} is damaged: what comes before epoch {first.epoch}, of the checkpoint, is not all there")
    return before


def _agree(path: Path, history: Sequence[EpochReport], first: EpochReport) -> bool:
    """Whether the file ends with `first`; otherwise it is made to end with what comes before."""
    text = "".join(_line(report) for report in history)
    if path.exists() and path.read_bytes() == (text + _line(first)).encode():
        return True
    write_atomically(path, text)
    return False


def _missing(before: Sequence[EpochReport], epoch: int, *, known: bool) -> bool:
    """Whether reports are lost between those `before` a checkpoint and its own, after `epoch`.

    A task may report every few epochs, but never less often than at first. `known`: nothing says there were any.
    """
    if not before:
        return epoch > 1 and not known
    epochs = [0, *(report.epoch for report in before), epoch]
    return max(later - earlier for earlier, later in pairwise(epochs)) > epochs[1]


def _cut_short(history: Sequence[EpochReport], meter: Meter) -> TrialStep:
    """The step of an epoch that was interrupted because a limit was passed in it."""
    assert meter.passed is not None  # noqa: S101 - the meter raises only after it has noted why
    last = history[-1] if history else EpochReport(epoch=0, phase="")
    broken = EpochReport(epoch=meter.passed.epoch, phase=last.phase, complete=False)
    return TrialStep(broken, (meter.passed,))


def _line(report: EpochReport) -> str:
    record = report.to_json()
    if report.evidence:
        record["evidence"] = plain(report.evidence)
    return json.dumps(record, allow_nan=False) + "\n"


def _append(file: TextIO, report: EpochReport) -> None:
    file.write(_line(report))
    file.flush()
    os.fsync(file.fileno())
