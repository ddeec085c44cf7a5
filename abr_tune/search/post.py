"""The driver's end of parcels: what is sent along with a job, and where what comes back is put."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

from abr_tune.search.executor import Job
from abr_tune.search.parcels import Parcel, pack, put_marker, restore, unpack
from abr_tune.search.trainable import Sent, packed


class Post:
    """Sends the files of trainings to workers that do not see them, and puts in place what they send."""

    def __init__(self) -> None:
        self._token = secrets.token_hex(8)
        self._markers: dict[Path, Path] = {}
        """Folder of trainings -> marker in it."""
        self._sent: dict[str, Sent] = {}
        self._folders: dict[str, Path] = {}
        """Ray trial -> folder of its training, while it is being trained."""

    def send(self, trial_id: str, job: Job) -> dict[str, Any]:
        """The job as Ray's configuration, with what its folder holds already. Raises `TooLarge`."""
        folder = self._folders[trial_id] = job.folder.absolute()
        if folder.parent not in self._markers:
            self._markers[folder.parent] = put_marker(folder.parent, self._token)
        restore(folder)
        if files := pack(folder):
            self._sent[trial_id] = Sent(files)
        return packed(job, marker=self._markers[folder.parent], sent=self._sent.get(trial_id))

    def receive(self, trial_id: str, parcel: Parcel) -> None:
        """Put in place what a worker sent. Raises `ValueError` for a name that leads elsewhere."""
        unpack(parcel, self._folders[trial_id])

    def forget(self, trial_id: str) -> None:
        """A Ray trial is over."""
        self._folders.pop(trial_id, None)
        if (sent := self._sent.pop(trial_id, None)) is not None:
            sent.forget()

    def clear(self) -> None:
        """Nothing more is sent: take the markers away."""
        for marker in self._markers.values():
            marker.unlink(missing_ok=True)
