"""The durable Optuna study, the only truth about trials.

Every change of a trial is one transaction. Optuna's own calls commit each parameter, value and attribute by itself,
which on SQLite costs ten times as much; so the tables of Optuna's storage (5.x) are written here, and read back
through Optuna by the tests. On PostgreSQL a transaction is tried again while the server is away, and several drivers
may share a study (see `leases`).
"""

from __future__ import annotations

import json
import math
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain, count
from pathlib import Path
from typing import Any, Final, TypeVar

import optuna
from optuna.distributions import BaseDistribution, check_distribution_compatibility, distribution_to_json
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from abr_tune.errors import UserError
from abr_tune.runs import RunFolder
from abr_tune.search.bulk import all_trials
from abr_tune.search.events import TrialRecord
from abr_tune.search.fidelity import Point
from abr_tune.search.leases import OWNER, Lease
from abr_tune.search.ledger import Ending, StoredTrial
from abr_tune.search.records import (
    CURVE,
    METRICS,
    NAME,
    PARKED,
    RESUME,
    STATES,
    VALUES,
    ended_record,
    points_of,
    record_of,
    stored_of,
)
from abr_tune.search.rows import SYSTEM, add_attributes, drop_attributes, set_attributes, write_ending, write_points
from abr_tune.search.storage import as_fault, connect, patiently, several_may_write, sqlite_url
from core.tasks.task import Objective

__all__ = [
    "CURVE",
    "PARKED",
    "RESUME",
    "Ending",
    "Sign",
    "Study",
    "ended_record",
    "named_trials",
    "points_of",
    "read_records",
    "record_of",
    "rename_study",
    "sqlite_url",
    "storage_of",
    "stored_of",
    "stored_trials",
    "study_id",
]

SECONDS_BETWEEN_WRITES: Final = 1.0
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Sign:
    """What shows, without reading all of an unfinished trial, whether somebody changed it."""

    state: TrialState
    owner: str | None
    """As JSON; nobody's when None."""
    parked: str | None
    """As JSON."""


@dataclass(slots=True)
class _Unwritten:
    """Values of one trial that are not yet in the storage."""

    rewind: int | None = None
    """Values from this epoch on belong to an earlier attempt and are deleted first."""
    points: dict[int, Point] = field(default_factory=dict)


class Study:
    """One study in one storage, with this process as its only writer, or one of several that hold a lease each.

    Every method that touches the storage raises `StorageFault` when it cannot be reached or stays locked.
    """

    def __init__(
        self, storage: str, name: str, objectives: Sequence[Objective], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._clock = clock
        self._written = clock()
        self._unwritten: dict[int, _Unwritten] = {}
        self._curves: dict[int, dict[int, Point]] = {}
        """Epoch -> point, of trials that have not ended."""
        self.lease: Lease | None = None
        """This process's among those of several drivers, from `share` on."""
        with as_fault():
            self._storage = connect(storage)
            study = optuna.create_study(
                storage=self._storage,
                study_name=name,
                directions=[objective.direction for objective in objectives],
                load_if_exists=True,
            )
            names = [objective.metric for objective in objectives]
            if study.metric_names != names:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                    study.set_metric_names(names)
            self._study_id = self._storage.get_study_id_from_name(name)
        self._ids: dict[int, int] = {}
        self._newest = -1
        """Optuna's id of the newest trial."""
        self._unfinished: dict[int, Sign | None] = {}
        """Trials that had not ended when they were last read, those of this driver left out -> their sign then."""
        self._unheard: list[FrozenTrial] | None = []
        """What there was when the study was opened, until it is asked for."""
        self._sides: dict[str, BaseDistribution] = {}
        """Coordinate as it is called in the study -> its distribution there."""
        self._unheard = self.trials()
        for trial in self._unheard:
            self._see(trial, None)

    @property
    def next_number(self) -> int:
        """The number of the next trial."""
        return len(self._ids)

    def trials(self) -> list[FrozenTrial]:
        """All trials as Optuna reads them, by number."""
        return patiently(lambda _tries: all_trials(self._storage, self._study_id))

    def stored(self) -> list[StoredTrial]:
        """All trials, by number, with everything a search needs to know of them."""
        return [stored_of(trial) for trial in self.trials()]

    def records(self) -> list[TrialRecord]:
        """All trials, by number, with every value that was reported."""
        self.flush()
        return [record_of(trial) for trial in self.trials()]

    def record(self, number: int) -> TrialRecord:
        """One trial."""
        self.flush()
        with as_fault():
            return record_of(self._storage.get_trial(self._ids[number]))

    @property
    def shareable(self) -> bool:
        """Whether the storage lets several drivers work on the study."""
        return several_may_write(self._storage.engine)

    def share(self, *, join: bool = False) -> None:
        """Become one of the study's drivers. Raises `UserError` when there is a first one and this does not join it."""
        lease = Lease(self._storage.engine, self._study_id, join=join)
        lease.take()
        self.lease = lease

    def turn(self) -> AbstractContextManager[None]:
        """While this is entered, no other driver decides what concerns all trials."""
        return self.lease.turn() if self.lease else nullcontext()

    @property
    def over(self) -> str | None:
        """Why the first driver ended the search, for one that joined it; None while it goes on."""
        return None if self.lease is None or self.lease.first else self.lease.over

    @property
    def led(self) -> bool:
        """Whether there is a first driver, this one or another, or it has ended the search in order."""
        return self.lease is None or self.lease.led()

    def leave(self, ended_by: str | None = None) -> None:
        """Stop being one of the study's drivers; from the first one, `ended_by` ends the search for all."""
        if self.lease is not None:
            self.lease.release(ended_by)
            self.lease = None

    def news(self) -> list[tuple[StoredTrial, bool]]:
        """Trials that others may have changed since this was last asked, at first all, by number; only in a turn.

        Each with whether it is free: unfinished, and to be gone on with by whoever resumes it, because its driver is
        dead or has left it paused or interrupted. Without other drivers there is nothing new.
        """
        unheard, self._unheard = self._unheard, None
        if self.lease is None:
            return [(stored_of(trial), not trial.state.is_finished()) for trial in unheard or ()]
        self.lease.check()
        holders = self.lease.holders()
        self.lease.bury([holder for holder in holders if holder.dead])
        living = {holder.id for holder in holders if not holder.dead} - {self.lease.id}
        # What was read when the study was opened may be old by now: everything is read again.
        first = unheard is not None
        signs = {} if first else self._signs()
        # Of a trial that belongs to a driver every look may show more, or that the driver died; others show a new sign.
        known = {
            self._ids[number]
            for number, sign in self._unfinished.items()
            if signs.get(number) != sign or _owner(sign) is not None
        }
        newest = -1 if first else self._newest
        trials = patiently(lambda _tries: self._storage._get_trials(self._study_id, None, known, newest))
        for trial in trials:
            self._see(trial, _sign(trial))
        return [
            (stored_of(trial), not trial.state.is_finished() and _owner(_sign(trial)) not in living) for trial in trials
        ]

    def _signs(self) -> dict[int, Sign]:
        """State, owner and pause of the unfinished trials, as they are now, by number."""
        trial, attribute = models.TrialModel, models.TrialSystemAttributeModel
        of = {self._ids[number]: number for number in self._unfinished}

        def read(_tries: int) -> dict[int, Sign]:
            with Session(self._storage.engine) as session:
                ids = list(of)
                states = session.execute(select(trial.trial_id, trial.state).where(trial.trial_id.in_(ids))).all()
                kept = select(attribute.trial_id, attribute.key, attribute.value_json)
                wanted = attribute.trial_id.in_(ids) & attribute.key.in_((OWNER, PARKED))
                said = {(found, key): value for found, key, value in session.execute(kept.where(wanted)).all()}
            return {
                of[found]: Sign(state, said.get((found, OWNER)), said.get((found, PARKED))) for found, state in states
            }

        return patiently(read) if of else {}

    def _see(self, trial: FrozenTrial, sign: Sign | None) -> None:
        self._ids[trial.number] = trial._trial_id
        self._newest = max(self._newest, trial._trial_id)
        self._sides |= trial.distributions
        if trial.state.is_finished():
            self._unfinished.pop(trial.number, None)
        else:
            self._unfinished[trial.number] = sign
            self._curves[trial.number] = {point.epoch: point for point in points_of(trial)}

    def begin(
        self,
        raw: Mapping[str, Any],
        distributions: Mapping[str, BaseDistribution],
        values: Mapping[str, Any],
        name: str | None,
    ) -> int:
        """Record a trial as running, with its parameters; returns its number.

        `raw` and `distributions` are by coordinate and empty for a start point outside the space; `values` are by path.
        """
        called = {self._called(side, distributions[side]): side for side in raw}
        system: dict[str, Any] = {VALUES: dict(values)} | self._marked()

        def write(session: Session, again: bool) -> tuple[int, int]:
            if again and (known := self._begun(session, system[OWNER])) is not None:
                return known
            trial = self._next_trial(session)
            ids = {"trial_id": trial.trial_id}
            params = [
                ids
                | {
                    "param_name": name,
                    "param_value": distributions[side].to_internal_repr(raw[side]),
                    "distribution_json": distribution_to_json(distributions[side]),
                }
                for name, side in called.items()
            ]
            if params:
                session.execute(insert(models.TrialParamModel), params)
            add_attributes(session, trial.trial_id, system, SYSTEM)
            add_attributes(session, trial.trial_id, {} if name is None else {NAME: name})
            return trial.number, trial.trial_id

        number, trial_id = self._write(write)
        self._ids[number] = self._newest = trial_id
        return number

    def _marked(self) -> dict[str, Any]:
        return {} if self.lease is None else {OWNER: self.lease.mark()}

    def _next_trial(self, session: Session) -> Any:
        model = models.TrialModel
        # Whoever begins a trial holds the study's row, so that numbers stay unique.
        session.get_one(models.StudyModel, self._study_id, with_for_update=True)
        ours = select(model.number).where(model.study_id == self._study_id)
        last = session.scalars(ours.order_by(model.trial_id.desc()).limit(1)).first()
        trial = model(
            study_id=self._study_id,
            number=0 if last is None else last + 1,
            state=TrialState.RUNNING,
            datetime_start=datetime.now(),
        )
        session.add(trial)
        session.flush()
        return trial

    def _begun(self, session: Session, mark: str) -> tuple[int, int] | None:
        """The trial that carries a mark: it was written, though the server left before saying so."""
        attribute, trial = models.TrialSystemAttributeModel, models.TrialModel
        marked = (attribute.key == OWNER) & (attribute.value_json == json.dumps(mark))
        query = select(trial.number, trial.trial_id).join(attribute, attribute.trial_id == trial.trial_id)
        found = session.execute(query.where(trial.study_id == self._study_id, marked)).first()
        return None if found is None else (found[0], found[1])

    def _called(self, side: str, distribution: BaseDistribution) -> str:
        """What a coordinate is called in the study: another name where an earlier space had other choices for it.

        Optuna refuses a parameter whose choices or kind change within a study.
        """
        for name in chain([side], (f"{side} ({edition})" for edition in count(2))):
            try:
                check_distribution_compatibility(self._sides.setdefault(name, distribution), distribution)
            except ValueError:
                continue
            return name
        raise AssertionError("there is always another name")

    def report(self, number: int, point: Point) -> None:
        """Note an epoch of a running trial; written within about a second, and before the trial's state changes."""
        unwritten = self._unwritten.setdefault(number, _Unwritten())
        unwritten.points[point.epoch] = point
        self._curves.setdefault(number, {})[point.epoch] = point
        self.flush_if_due()

    def rewind(self, number: int, epoch: int) -> None:
        """Values of a trial from `epoch` on belong to an attempt that is not continued: delete them."""
        unwritten = self._unwritten.setdefault(number, _Unwritten())
        unwritten.rewind = epoch if unwritten.rewind is None else min(epoch, unwritten.rewind)
        unwritten.points = {known: point for known, point in unwritten.points.items() if known < epoch}
        curve = self._curves.get(number, {})
        self._curves[number] = {known: point for known, point in curve.items() if known < epoch}

    def flush(self) -> None:
        """Write all noted values in one transaction."""
        if self._unwritten:
            self._write(lambda session, again: self._write_values(session, list(self._unwritten), again))
            self._unwritten.clear()
        self._written = self._clock()

    def flush_if_due(self) -> None:
        """Write what has been waiting for a second."""
        if self._unwritten and self._clock() - self._written >= SECONDS_BETWEEN_WRITES:
            self.flush()

    def finish(self, number: int, ending: Ending) -> None:
        """Give a trial its last values, its attributes and its final state. Raises as `finish_all` does."""
        self.finish_all({number: ending})

    def finish_all(self, endings: Mapping[int, Ending]) -> None:
        """End several trials in one transaction.

        Raises `ValueError` for a complete trial without finite values, and for one that has ended already.
        """
        for number, ending in endings.items():
            complete, finite = ending.state == "complete", all(map(math.isfinite, ending.values))
            if bool(ending.values) != complete or not finite or ending.state not in {"complete", "pruned", "failed"}:
                raise ValueError(f"trial {number} cannot end as {ending}")

        def write(session: Session, again: bool) -> None:
            for number, ending in endings.items():
                trial: Any = session.get_one(models.TrialModel, self._ids[number])
                if again and STATES[trial.state] == ending.state:
                    continue
                if trial.state.is_finished():
                    raise ValueError(f"trial {number} has ended already")
                self._write_values(session, [number], again)
                write_ending(session, trial, ending)

        self._write(write)
        for number in endings:
            self._unwritten.pop(number, None)
            self._curves.pop(number, None)
            self._unfinished.pop(number, None)

    def note(self, number: int, attributes: Mapping[str, Any]) -> None:
        """Keep something of a trial that has not ended, as user attributes."""
        self._write(lambda session, _again: set_attributes(session, self._ids[number], attributes))

    def park(self, number: int, epoch: int, metrics: Mapping[str, float]) -> None:
        """Remember that a running trial is paused after `epoch`, where it had these metrics."""

        def write(session: Session, again: bool) -> None:
            self._write_values(session, [number], again)
            drop_attributes(session, self._ids[number], [OWNER], SYSTEM)
            set_attributes(session, self._ids[number], {PARKED: epoch}, SYSTEM)
            set_attributes(session, self._ids[number], {METRICS: dict(metrics)})

        self._write(write)
        self._unwritten.pop(number, None)
        self._unfinished[number] = Sign(TrialState.RUNNING, None, json.dumps(epoch))

    def resume(self, number: int) -> None:
        """A trial that was interrupted, paused or left by a dead driver runs again, and is this driver's."""
        mark = self._marked()

        def write(session: Session, _again: bool) -> None:
            drop_attributes(session, self._ids[number], [RESUME, METRICS])
            drop_attributes(session, self._ids[number], [PARKED], SYSTEM)
            set_attributes(session, self._ids[number], mark, SYSTEM)
            session.get_one(models.TrialModel, self._ids[number]).state = TrialState.RUNNING

        self._write(write)
        self._unfinished.pop(number, None)

    def interrupt(self, epochs: Mapping[int, int], metrics: Mapping[int, Mapping[str, float]]) -> None:
        """Mark trials as waiting to go on from the epochs given (trial -> epochs it has finished).

        `metrics` are those of the last of these epochs, where they are known; paused trials stay paused.
        """

        def write(session: Session, again: bool) -> None:
            self._write_values(session, list(epochs), again)
            for number, epoch in epochs.items():
                drop_attributes(session, self._ids[number], [OWNER], SYSTEM)
                said = {METRICS: dict(metrics[number])} if number in metrics else {}
                set_attributes(session, self._ids[number], {RESUME: epoch} | said)
                session.get_one(models.TrialModel, self._ids[number]).state = TrialState.WAITING

        self._write(write)
        for number in epochs:
            self._unwritten.pop(number, None)

    def close(self) -> None:
        """Write what is left and let go of the storage."""
        try:
            self.flush()
        finally:
            self.leave()
            self._storage.remove_session()
            self._storage.engine.dispose()

    def _write(self, change: Callable[[Session, bool], Answer]) -> Answer:
        """Make a change in one transaction; it is told whether it was tried before, and perhaps made."""

        def once(tries: int) -> Answer:
            with Session(self._storage.engine) as session, session.begin():
                if self.lease is not None:
                    self.lease.fence(session)
                return change(session, tries > 0)

        return patiently(once)

    def _write_values(self, session: Session, numbers: Sequence[int], again: bool) -> None:
        for number in numbers:
            if (new := self._unwritten.get(number)) is not None:
                curve = self._curves.get(number, {})
                write_points(session, self._ids[number], new.points, rewind=new.rewind, curve=curve, again=again)


def _sign(trial: FrozenTrial) -> Sign:
    said = {key: json.dumps(trial.system_attrs[key]) for key in (OWNER, PARKED) if key in trial.system_attrs}
    return Sign(trial.state, said.get(OWNER), said.get(PARKED))


def _owner(sign: Sign | None) -> str | None:
    """The lease a trial belongs to."""
    return None if sign is None or sign.owner is None else str(json.loads(json.loads(sign.owner))[0])


def read_records(folder: Path) -> list[TrialRecord]:
    """The trials of the run in `folder`, by number, from its study, which may be in use.

    Raises `UserError` when there is none: the run has not begun.
    """
    storage = storage_of(folder)
    if storage is None:
        raise UserError(f"{folder} holds no study.db")
    trials = stored_trials(storage, folder.resolve().name)
    return [record_of(trial) for trial in trials]


def storage_of(folder: Path) -> str | None:
    """URL of the storage of the run in `folder`: the one it was started with, or its own `study.db` if it has one."""
    run = RunFolder(folder)
    if run.environment.is_file():
        launch = json.loads(run.environment.read_text(encoding="utf-8")).get("launch") or {}
        if launch.get("storage") is not None:
            return str(launch["storage"])
    return sqlite_url(run.study) if run.study.is_file() else None


def stored_trials(storage: str, name: str) -> list[FrozenTrial]:
    """The trials of the study of the run called `name`, as Optuna reads them, by number; none without a study."""
    with as_fault():
        connected = connect(storage)
        found = study_id(connected, name)
        trials = [] if found is None else all_trials(connected, found)
        connected.remove_session()
        connected.engine.dispose()
    return trials


def named_trials(storage: str, name: str) -> int:
    """How many trials the study called `name` has; none without a study."""
    with as_fault():
        connected = connect(storage)
        found = [study._study_id for study in connected.get_all_studies() if study.study_name == name]
        count = connected.get_n_trials(found[0]) if found else 0
        connected.remove_session()
        connected.engine.dispose()
    return count


def rename_study(storage: str, name: str, new: str) -> None:
    """Give the study called `name` another name; without one there is nothing to do."""
    with as_fault():
        connected = connect(storage)
        model = models.StudyModel
        with Session(connected.engine) as session, session.begin():
            session.execute(update(model).where(model.study_name == name).values(study_name=new))
        connected.remove_session()
        connected.engine.dispose()


def study_id(storage: RDBStorage, name: str) -> int | None:
    """Optuna's id of the study of the run called `name`, or of the only study there is: folders may be renamed."""
    studies = storage.get_all_studies()
    named = [study for study in studies if study.study_name == name] or studies
    return named[0]._study_id if len(named) == 1 else None
