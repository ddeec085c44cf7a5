"""The durable Optuna study, the only truth about trials.

Every change of a trial is one transaction. Optuna's own calls commit each parameter, value and attribute by itself,
which on SQLite costs ten times as much; so the tables of Optuna's storage (5.x) are written here, and read back
through Optuna by the tests. On PostgreSQL a transaction is tried again while the server is away, and several drivers
may share a study (see `leases`).
"""

from __future__ import annotations

import json
import math
import secrets
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from datetime import datetime
from itertools import chain, count
from typing import Any, Final, TypeVar

import optuna
from optuna.distributions import BaseDistribution, check_distribution_compatibility, distribution_to_json
from optuna.storages._rdb import models
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from abr_tune.errors import StorageFault
from abr_tune.filesystems import sqlite_file
from abr_tune.search.bulk import all_trials
from abr_tune.search.curves import Curves
from abr_tune.search.events import TrialRecord
from abr_tune.search.fidelity import Point
from abr_tune.search.leases import OWNER, Lease
from abr_tune.search.ledger import Ending, StoredTrial
from abr_tune.search.records import METRICS, NAME, PARKED, RESUME, STATES, VALUES, points_of, record_of, stored_of
from abr_tune.search.rows import SYSTEM, add_attributes, drop_attributes, set_attributes, write_ending
from abr_tune.search.storage import SECONDS_IN_SQLITE, connect, patiently, several_may_write
from abr_tune.search.watch import Watch, owner_of, sign_of
from core.tasks.task import Objective

SECONDS_BETWEEN_WRITES: Final = 1.0
SIGN: Final = "abr_tune:sign"
"""System attribute of a study: a random word that tells it from another in its place."""
Answer = TypeVar("Answer")


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
        self._curves = Curves()
        self.lease: Lease | None = None
        """This process's among those of several drivers, from `share` on."""
        self._file = sqlite_file(storage)
        self._storage = connect(storage, busy=SECONDS_IN_SQLITE)
        self._study_id = self._patiently(lambda _tries: self._found(name, objectives))
        self._sign = self._patiently(lambda _tries: self._signed())
        self._watch = Watch(self._storage, self._study_id)
        self._ids: dict[int, int] = {}
        self._sides: dict[str, BaseDistribution] = {}
        """Coordinate as it is called in the study -> its distribution there."""
        self._unheard: list[FrozenTrial] | None = self.trials()
        """What there was when the study was opened, until it is asked for."""
        for trial in self._unheard:
            self._see(trial)

    def _found(self, name: str, objectives: Sequence[Objective]) -> int:
        """Optuna's id of the study of this name, made where there is none."""
        directions = [objective.direction for objective in objectives]
        study = optuna.create_study(storage=self._storage, study_name=name, directions=directions, load_if_exists=True)
        names = [objective.metric for objective in objectives]
        known = study.metric_names
        if known not in (None, names) or [each.name.lower() for each in study.directions] != directions:
            raise StorageFault(
                f"{self._file or 'the storage'} holds a study {name} of something else, and it is left as it is: its "
                f"objectives are {', '.join(known or ['not named'])}"
            )
        if known is None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                study.set_metric_names(names)
        return int(self._storage.get_study_id_from_name(name))

    def _signed(self) -> str:
        """What tells this study from any other; it is given one when it is first opened."""
        row = {"study_id": self._study_id, "key": SIGN, "value_json": json.dumps(secrets.token_hex(8))}
        # Another driver may be just as early.
        with Session(self._storage.engine) as session, suppress(IntegrityError), session.begin():
            if self._read_sign(session) is None:
                session.execute(insert(models.StudySystemAttributeModel), [row])
        with Session(self._storage.engine) as session:
            return str(self._read_sign(session))

    def _read_sign(self, session: Session) -> str | None:
        model = models.StudySystemAttributeModel
        mine = (model.study_id == self._study_id) & (model.key == SIGN)
        return session.scalars(select(model.value_json).where(mine)).first()

    def _fence(self, session: Session) -> None:
        """Raise `StorageFault` unless this process may still write, and to the study that it has read."""
        if self.lease is not None:
            self.lease.fence(session)
        if self._read_sign(session) != self._sign:
            raise StorageFault(
                f"{self._file or 'the storage'} holds another study than when this search began, and nothing more is "
                "written to it; put the study back, then give the same command again"
            )

    def _patiently(self, call: Callable[[int], Answer]) -> Answer:
        return patiently(call, file=self._file)

    @property
    def next_number(self) -> int:
        """The number of the next trial."""
        return len(self._ids)

    def trials(self) -> list[FrozenTrial]:
        """All trials as Optuna reads them, by number."""
        return self._patiently(lambda _tries: all_trials(self._storage, self._study_id))

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
        return record_of(self._patiently(lambda _tries: self._storage.get_trial(self._ids[number])))

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
        trials = self._watch.changed(everything=unheard is not None)
        for trial in trials:
            self._see(trial)
        return [
            (stored_of(trial), not trial.state.is_finished() and owner_of(sign_of(trial)) not in living)
            for trial in trials
        ]

    def _see(self, trial: FrozenTrial) -> None:
        self._ids[trial.number] = trial._trial_id
        self._sides |= trial.distributions
        self._watch.seen(trial)
        if not trial.state.is_finished():
            self._curves.known(trial.number, points_of(trial))

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
        self._ids[number] = trial_id
        self._watch.begun(trial_id)
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
        self._curves.add(number, point)
        self.flush_if_due()

    def rewind(self, number: int, epoch: int) -> None:
        """Values of a trial from `epoch` on belong to an attempt that is not continued: delete them."""
        self._curves.rewind(number, epoch)

    def flush(self) -> None:
        """Write all noted values in one transaction."""
        if numbers := self._curves.unwritten:
            self._write(lambda session, again: self._write_values(session, numbers, again))
            self._curves.written(numbers)
        self._written = self._clock()

    def flush_if_due(self) -> None:
        """Write what has been waiting for a second."""
        if self._curves.unwritten and self._clock() - self._written >= SECONDS_BETWEEN_WRITES:
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
        self._curves.ended(endings)
        for number in endings:
            self._watch.ours(self._ids[number])

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
        self._curves.written([number])
        self._watch.parked(self._ids[number], epoch)

    def resume(self, number: int) -> None:
        """A trial that was interrupted, paused or left by a dead driver runs again, and is this driver's."""
        mark = self._marked()

        def write(session: Session, _again: bool) -> None:
            drop_attributes(session, self._ids[number], [RESUME, METRICS])
            drop_attributes(session, self._ids[number], [PARKED], SYSTEM)
            set_attributes(session, self._ids[number], mark, SYSTEM)
            session.get_one(models.TrialModel, self._ids[number]).state = TrialState.RUNNING

        self._write(write)
        self._watch.ours(self._ids[number])

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
        self._curves.written(epochs)

    def abandon(self) -> None:
        """Ask the storage nothing more: the write that was cut short may have been made, and nobody waits for another.

        The trials' histories have what was not written.
        """
        self._curves.written(self._curves.unwritten)
        if self.lease is not None:
            self.lease.abandon()
            self.lease = None

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
                self._fence(session)
                return change(session, tries > 0)

        return self._patiently(once)

    def _write_values(self, session: Session, numbers: Sequence[int], again: bool) -> None:
        for number in numbers:
            self._curves.write(session, number, self._ids[number], again=again)
