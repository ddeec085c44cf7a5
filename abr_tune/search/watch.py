"""Which trials of a study others may have changed since this driver last looked."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import select
from sqlalchemy.orm import Session

from abr_tune.filesystems import sqlite_file
from abr_tune.search.leases import OWNER
from abr_tune.search.records import PARKED
from abr_tune.search.storage import patiently


@dataclass(frozen=True, slots=True)
class Sign:
    """What shows, without reading all of an unfinished trial, whether somebody changed it."""

    state: TrialState
    owner: str | None
    """As JSON; nobody's when None."""
    parked: str | None
    """As JSON."""


class Watch:
    """The trials of one study that had not ended when they were last read, this driver's own left out.

    Trials go by Optuna's ids, which grow with their numbers.
    """

    def __init__(self, storage: RDBStorage, study: int) -> None:
        self._storage = storage
        self._study = study
        self._file = sqlite_file(storage.url)
        self._newest = -1
        self._signs: dict[int, Sign] = {}
        """Trial -> its sign then."""

    def seen(self, trial: FrozenTrial) -> None:
        """A trial was read."""
        self._newest = max(self._newest, trial._trial_id)
        if trial.state.is_finished():
            self.ours(trial._trial_id)
        else:
            self._signs[trial._trial_id] = sign_of(trial)

    def begun(self, trial_id: int) -> None:
        """A trial of this driver has begun: the newest of all."""
        self._newest = trial_id

    def ours(self, trial_id: int) -> None:
        """A trial is gone on with here, or has ended: nobody else changes it any more."""
        self._signs.pop(trial_id, None)

    def parked(self, trial_id: int, epoch: int) -> None:
        """A trial was paused here: from now on anybody may go on with it."""
        self._signs[trial_id] = Sign(TrialState.RUNNING, None, json.dumps(epoch))

    def changed(self, *, everything: bool) -> list[FrozenTrial]:
        """Trials that are new or may have changed, as they are now; or `everything`."""
        now = {} if everything else self._signs_now()
        # Of a trial that belongs to a driver every look may show more, or that the driver died; others show a new sign.
        known = {trial for trial, sign in self._signs.items() if now.get(trial) != sign or owner_of(sign) is not None}
        newest = -1 if everything else self._newest
        return patiently(lambda _tries: self._storage._get_trials(self._study, None, known, newest), file=self._file)

    def _signs_now(self) -> dict[int, Sign]:
        trial, attribute = models.TrialModel, models.TrialSystemAttributeModel
        ids = list(self._signs)

        def read(_tries: int) -> dict[int, Sign]:
            with Session(self._storage.engine) as session:
                states: Any = session.execute(select(trial.trial_id, trial.state).where(trial.trial_id.in_(ids))).all()
                kept = select(attribute.trial_id, attribute.key, attribute.value_json)
                wanted = attribute.trial_id.in_(ids) & attribute.key.in_((OWNER, PARKED))
                said = {(found, key): value for found, key, value in session.execute(kept.where(wanted)).all()}
            return {found: Sign(state, said.get((found, OWNER)), said.get((found, PARKED))) for found, state in states}

        return patiently(read, file=self._file) if ids else {}


def sign_of(trial: FrozenTrial) -> Sign:
    """The sign of a trial that was read."""
    said = {key: json.dumps(trial.system_attrs[key]) for key in (OWNER, PARKED) if key in trial.system_attrs}
    return Sign(trial.state, said.get(OWNER), said.get(PARKED))


def owner_of(sign: Sign) -> str | None:
    """The lease a trial belongs to."""
    return None if sign.owner is None else str(json.loads(json.loads(sign.owner))[0])
