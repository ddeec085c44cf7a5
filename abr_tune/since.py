"""What is otherwise now than when a configuration was written: versions, machine, commit, data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from abr_tune.environment import commit, machine, versions


@dataclass(frozen=True, slots=True)
class Change:
    """Something that is otherwise than when the claims were made."""

    what: str
    was: Any
    now: Any

    def __str__(self) -> str:
        return f"other than then: {self.what} was {self.was}, is {self.now}"


def changed(provenance: Mapping[str, Any], fingerprint: str) -> Iterator[Change]:
    """What differs between then and now, of what numbers depend on; what the file does not say is left out."""
    now: dict[str, Any] = {f"version of {name}": version for name, version in versions().items()}
    then = {f"version of {name}": version for name, version in (provenance.get("versions") or {}).items()}
    now |= {f"machine: {name}": value for name, value in machine().items()}
    then |= {f"machine: {name}": value for name, value in (provenance.get("machine") or {}).items()}
    now |= {"commit": commit(), "data fingerprint": fingerprint}
    then |= {"commit": provenance.get("commit"), "data fingerprint": provenance.get("data_fingerprint")}
    for what, was in then.items():
        if was is not None and was != now.get(what):
            yield Change(what, was, now.get(what))
