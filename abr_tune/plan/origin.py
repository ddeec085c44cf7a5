"""Where a configuration comes from, and what is otherwise now than when it was written."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import to_jsonable_python

from abr_tune import __version__
from abr_tune.plan.distributions import as_text
from abr_tune.plan.yaml import dump, parse

SEALED: Final = ("task", "train", "seed", "objective", "health", "claims", "tolerance")
"""What the seal of a configuration covers: what is claimed, and of what. The data have a fingerprint of their own."""
NAMED: Final = 8
"""Options that are named one by one."""

Finite = Annotated[float, Field(allow_inf_nan=False)]


class _Part(BaseModel):
    """Read where it is understood; another version may have written more."""

    model_config = ConfigDict(frozen=True, extra="allow")


class Confirmed(_Part):
    """What fresh trainings said of it."""

    seeds: Annotated[int, Field(ge=1, le=1000)]
    folds: Annotated[int, Field(ge=0, le=1000)] = 0
    mean: Finite
    sd: Annotated[Finite, Field(ge=0)] | None = None
    """Standard deviation between fresh trainings; None after a single one."""


class Provenance(_Part):
    """Where a configuration comes from, as far as the commands rely on it."""

    versions: dict[str, str | float] = {}
    machine: dict[str, Any] = {}
    commit: str | None = None
    data_fingerprint: str | None = None
    confirmed: Confirmed | None = None
    seal: str | None = None
    """`seal_of` what was written."""


def seal_of(content: Mapping[str, Any]) -> str:
    """A hash of the settings and claims of a configuration as they read back."""
    told = {key: content[key] for key in SEALED if content.get(key)}
    if isinstance(start := content.get("start"), Mapping):  # where it lies is no part of what it is
        told["start"] = start.get("sha256")
    read_back = parse(dump(told), "seal").data
    return hashlib.sha256(json.dumps(read_back, sort_keys=True).encode()).hexdigest()[:16]


def writer_of(content: Mapping[str, Any]) -> str | None:
    """The version of this package that wrote a configuration; None for one that a person wrote."""
    provenance = content.get("provenance")
    versions = provenance.get("versions") if isinstance(provenance, Mapping) else None
    version = versions.get("abr-tune") if isinstance(versions, Mapping) else None
    return None if version is None else str(version)


def told_otherwise(content: Mapping[str, Any], given: Collection[str], options: BaseModel) -> Iterator[str]:
    """What a file written by this package says no longer, or otherwise than it was written, in sentences.

    `given` are the paths of the training options that the file names, `options` what it is trained with.
    """
    writer = writer_of(content)
    if writer is None:
        return
    written = "by this version" if writer == __version__ else f"by abr-tune {writer}, and this is {__version__}"
    missing = {path: value for path, value in _leaves(options) if not _is_given(path, given)}
    for path, value in list(missing.items())[:NAMED]:
        yield f"{path} is not in the file, which was written {written}; the default is used: {as_text(value)}"
    if len(missing) > NAMED:
        yield f"so it is with {len(missing) - NAMED} more options"
    seal = content["provenance"].get("seal")
    if seal is not None and seal != seal_of(content):
        yield "the file was changed after it was written: what it claims was not measured with what it says now"


def _is_given(path: str, given: Collection[str]) -> bool:
    return any(path == other or path.startswith(f"{other}.") for other in given)


def _leaves(options: BaseModel) -> Iterator[tuple[str, Any]]:
    def below(tree: Any, path: str) -> Iterator[tuple[str, Any]]:
        if isinstance(tree, Mapping) and tree:
            for key, value in tree.items():
                yield from below(value, f"{path}.{key}" if path else str(key))
        else:
            yield path, tree

    return below(to_jsonable_python(options, by_alias=True, inf_nan_mode="constants"), "")
