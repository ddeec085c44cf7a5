"""Ray: started quietly on this machine or joined, and put away afterwards."""

from __future__ import annotations

from typing import Self

from abr_tune.plan.plan import Resources
from abr_tune.search.executor import Shared, Source


class Cluster:
    """A Ray to run trainings on."""

    def __init__(self, *, jobs: int, resources: Resources, address: str | None = None) -> None:
        self._jobs = jobs

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        pass

    def run(self, source: Source, shared: Shared, *, jobs: int, resources: Resources) -> None:
        """Train."""
