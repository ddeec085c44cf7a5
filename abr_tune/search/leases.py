"""Several drivers on one study: who they are, which of them still live, and whose turn it is.

A driver's lease is an attribute of the study: which process it is and when it was last heard of, by the database's
clock. A running trial names the lease it belongs to; a paused or interrupted one belongs to nobody. Whatever is
decided about all trials together (which is next, who goes on with a paused one, what a dead driver left) is decided in
turns, under a lock of the database that ends with its connection. Every other change is made only while the driver's
own lease stands: one that was silent too long, a machine asleep for instance, finds its lease gone and ends.
"""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from optuna.storages._rdb import models
from sqlalchemy import Engine, delete, func, insert, select, text, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from abr_tune.errors import StorageFault, UserError
from abr_tune.processes import Process, this_process
from abr_tune.search.storage import as_fault, patiently

OWNER: Final = "abr_tune:driver"
"""System attribute of a running trial: the lease of the driver that trains it, and the how many-th it began."""
LEASE: Final = "abr_tune:driver:"
"""System attributes of the study begin so: one for each driver, then its id."""
OVER: Final = "abr_tune:over"
"""System attribute of the study: the first driver ended the search, and why."""
SECONDS_BETWEEN_BEATS: Final = 5.0
SECONDS_UNTIL_DEAD: Final = 120.0
"""A driver on another machine that was not heard of for so long is dead; on this one its process is looked for.

Longer than a server may be away: when it is back, nobody was heard of for that long.
"""
SECONDS_FOR_A_TURN: Final = 15
"""How long another driver's turn is waited for before it is asked again; one takes a fraction of a second."""
SECONDS_OF_A_TURN: Final = 45
"""A turn in which nothing was asked of the database for so long is over: its driver's machine sleeps, or is gone."""
LOST: Final = (
    f"nothing was heard of this driver for over {SECONDS_UNTIL_DEAD:.0f} s, so its trials were given to others; "
    "start it again to go on beside them"
)
TURNS: Final = 0x_AB_7E
"""First half of the key of PostgreSQL's advisory lock; the study's number is the other."""

_Attribute = models.StudySystemAttributeModel


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """A driver of a study, as its lease says."""

    id: str
    process: Process
    since: str
    first: bool
    """Whether it began the search, and will confirm and report; the others joined."""
    silent: float
    """Seconds since it was last heard of."""

    @property
    def dead(self) -> bool:
        """Whether its trials may be taken over."""
        return self.process.gone or self.silent > SECONDS_UNTIL_DEAD

    def __str__(self) -> str:
        return f"{self.process} since {self.since}"


class Lease:
    """One driver's membership of a study, this process's, from `take` to `release`."""

    def __init__(self, engine: Engine, study: int, *, join: bool = False) -> None:
        self.id = secrets.token_hex(4)
        self.first = not join
        self.over: str | None = None
        """Why the first driver ended the search, once it has; a joiner ends then."""
        self._engine = engine
        self._study = study
        self._since = datetime.now(UTC).isoformat(timespec="seconds")
        self._process = this_process()
        self._lost = False
        self._begun = 0
        self._released = threading.Event()
        self._heart = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def take(self) -> None:
        """Become a driver of the study.

        Raises:
            UserError: another first driver lives, and this one does not join it.
        """
        with self.turn():
            if self.first:
                refuse_held(self.holders())
            patiently(self._enter)
        self._heart.start()

    def release(self, ended_by: str | None = None) -> None:
        """Stop being a driver; `ended_by` tells those who joined that the search is over, and why."""
        self._released.set()
        if self._heart.is_alive():
            self._heart.join()
        with as_fault(), Session(self._engine) as session, session.begin():
            stood: Any = session.execute(delete(_Attribute).where(self._mine))
            if stood.rowcount and self.first and ended_by is not None:
                self._set(session, OVER, ended_by)

    def abandon(self) -> None:
        """Stop being a driver without asking the storage, which may not answer: others see that the process ended."""
        self._released.set()

    def mark(self) -> str:
        """What a trial that is begun or gone on with now carries: this lease, and a number of its own."""
        self._begun += 1
        return json.dumps([self.id, self._begun])

    def fence(self, session: Session) -> None:
        """Hold the lease until the transaction ends.

        Raises:
            StorageFault: it was taken away, because nothing was heard of this driver for too long.
        """
        standing = session.scalars(select(_Attribute.key).where(self._mine).with_for_update(read=True)).first()
        if self._lost or standing is None:
            raise StorageFault(LOST)

    def check(self) -> None:
        """Raise `StorageFault` when the lease is known to be lost."""
        if self._lost:
            raise StorageFault(LOST)

    def holders(self) -> list[Holder]:
        """The drivers whose leases stand, living or dead; this one too."""
        return patiently(lambda _tries: read_holders(self._engine, self._study))

    def led(self) -> bool:
        """Whether there is a living first driver, this one or another, or it has ended the search in order."""

        def ended(_tries: int) -> bool:
            with Session(self._engine) as session:
                return self._read_over(session) is not None

        # Whoever ends the search takes its lease away and says so in one step: asked first, a lease is not missed.
        return any(holder.first and not holder.dead for holder in self.holders()) or patiently(ended)

    def bury(self, dead: list[Holder]) -> None:
        """End the leases of dead drivers: from now on their trials are nobody's, and what they still write is refused.

        Only within a turn.
        """
        keys = [LEASE + holder.id for holder in dead]

        def end(_tries: int) -> None:
            with Session(self._engine) as session, session.begin():
                session.execute(delete(_Attribute).where(self._of_study, _Attribute.key.in_(keys)))

        if keys:
            patiently(end)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """While this is entered no other driver takes its turn."""
        with as_fault():
            connection = patiently(lambda _tries: self._locked())
            try:
                yield
            finally:
                # A lock whose connection is broken is gone with it.
                with suppress(DBAPIError):
                    connection.close()

    def _locked(self) -> Any:
        connection = self._engine.connect()
        try:
            connection.execute(text(f"SET LOCAL lock_timeout = '{SECONDS_FOR_A_TURN}s'"))
            connection.execute(text(f"SET LOCAL idle_in_transaction_session_timeout = '{SECONDS_OF_A_TURN}s'"))
            connection.execute(select(func.pg_advisory_xact_lock(TURNS, self._study)))
        except BaseException:
            connection.close()
            raise
        return connection

    def _enter(self, _tries: int) -> None:
        with Session(self._engine) as session, session.begin():
            self._set(session, LEASE + self.id, self._said(session))
            if self.first:
                session.execute(delete(_Attribute).where(self._of_study, _Attribute.key == OVER))

    def _beat(self) -> None:
        """Say every few seconds that this driver lives, and hear whether the search is over.

        A database that does not answer is not this thread's to judge: the driver meets it itself.
        """
        while not self._released.wait(SECONDS_BETWEEN_BEATS):
            try:
                patiently(self._beat_once, budget=SECONDS_BETWEEN_BEATS)
            except StorageFault:
                continue

    def _beat_once(self, _tries: int) -> None:
        with Session(self._engine) as session, session.begin():
            said = json.dumps(self._said(session))
            found: Any = session.execute(update(_Attribute).where(self._mine).values(value_json=said))
            self._lost = found.rowcount == 0
            self.over = self._read_over(session)

    def _read_over(self, session: Session) -> str | None:
        over = session.scalars(select(_Attribute.value_json).where(self._of_study, _Attribute.key == OVER)).first()
        return None if over is None else str(json.loads(over))

    def _said(self, session: Session) -> dict[str, Any]:
        return {
            "process": self._process.to_json(),
            "since": self._since,
            "first": self.first,
            "heard": _now(session),
        }

    def _set(self, session: Session, key: str, value: Any) -> None:
        session.execute(delete(_Attribute).where(self._of_study, _Attribute.key == key))
        row = {"study_id": self._study, "key": key, "value_json": json.dumps(value)}
        session.execute(insert(_Attribute), [row])

    @property
    def _of_study(self) -> Any:
        return _Attribute.study_id == self._study

    @property
    def _mine(self) -> Any:
        return self._of_study & (_Attribute.key == LEASE + self.id)


def read_holders(engine: Engine, study: int) -> list[Holder]:
    """The drivers whose leases stand in a study, the first one first."""
    with Session(engine) as session:
        leases = (_Attribute.study_id == study) & _Attribute.key.startswith(LEASE, autoescape=True)
        rows = session.execute(select(_Attribute.key, _Attribute.value_json).where(leases)).all()
        now = _now(session) if rows else 0.0
    holders = [_holder(key.removeprefix(LEASE), json.loads(said), now) for key, said in rows]
    return sorted(holders, key=lambda holder: (not holder.first, holder.since))


def refuse_held(holders: list[Holder]) -> None:
    """Raise `UserError` when a first driver lives."""
    living = next((holder for holder in holders if holder.first and not holder.dead), None)
    if living is not None:
        raise UserError(
            f"this study is being driven by {living}; stop it first, work beside it with --join, or give this run "
            "another name with --name"
        )


def _holder(name: str, said: dict[str, Any], now: float) -> Holder:
    return Holder(
        id=name,
        process=Process.from_json(said["process"]),
        since=said["since"],
        first=said["first"],
        silent=now - said["heard"],
    )


def _now(session: Session) -> float:
    """Seconds by the database's own clock, which all drivers share."""
    return float(session.execute(select(func.extract("epoch", func.clock_timestamp()))).scalar_one())
