"""The sections `pruner:` and `sampler:`: a choice by name, or by name with settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import cast

from abr_tune.plan.explain import suggest
from abr_tune.plan.methods import PRUNERS, SAMPLERS
from abr_tune.plan.overrides import faults_in
from abr_tune.plan.plan import Pruner, PrunerName, Sampler, SamplerName
from abr_tune.plan.schema import Section, SpaceFile
from abr_tune.plan.source import Source


def read_pruner(source: Source) -> Pruner | None:
    """The ranking between trials; None when it cannot be told, which is noted."""
    found = _read(source, "pruner", PRUNERS)
    return None if found is None else Pruner(kind=cast(PrunerName, found[0]), **found[1].model_dump())


def read_sampler(source: Source) -> Sampler | None:
    """Who proposes configurations; None when it cannot be told, which is noted."""
    found = _read(source, "sampler", SAMPLERS)
    return None if found is None else Sampler(kind=cast(SamplerName, found[0]), **found[1].model_dump())


def _read(source: Source, key: str, table: Mapping[str, type[Section]]) -> tuple[str, Section] | None:
    """As in `{tpe: {startup_trials: 10}}`."""
    written = source.data.get(key, SpaceFile.model_fields[key].default)
    in_mapping = isinstance(written, dict) and len(written) == 1
    kind = next(iter(written)) if in_mapping else written
    loc = (key, kind) if in_mapping else (key,)
    if not isinstance(kind, str):
        source.add((key,), f"{key} must be one of {', '.join(table)}, by name or with settings")
        return None
    if kind not in table:
        message = f"{kind} is not a {key}; there are {', '.join(table)}"
        source.add(loc, message, suggest(kind, table), at_key=in_mapping)
        return None
    settings = (written[kind] if in_mapping else None) or {}
    faults = faults_in(table[kind], settings)
    source.faults(faults, loc, partial(_settings, table[kind]), f"a setting of {kind}")
    return None if faults else (kind, table[kind].model_validate(settings))


def _settings(section: type[Section], _: object) -> Sequence[str]:
    return list(section.model_fields)
