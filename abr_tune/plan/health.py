"""The `health:` section, laid over the task's own profile."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic_core import to_jsonable_python

from abr_tune.plan.overrides import faults_in, option_paths, strict_json
from abr_tune.plan.source import Source
from abr_tune.plan.yaml import Loc
from core.health import HealthOptions
from core.tasks.task import Task


def read_health(source: Source, task: Task) -> HealthOptions:
    """The rules of a run: omitted ones as the task has them, null or `off` none, a mapping changes what it names."""
    section, profile = source.data.get("health"), task.health
    if not isinstance(section, dict):
        return profile
    kind = type(profile)
    rules: dict[str, Any] = to_jsonable_python(profile, by_alias=True, inf_nan_mode="constants")
    for rule, written in section.items():
        if written in ("on", True):
            rules[rule] = rules.get(rule) or {}
        elif isinstance(written, dict):
            rules[rule] = {**(rules.get(rule) or {}), **written}
        else:
            rules[rule] = None if written in ("off", False) else written
    known = option_paths(kind)

    def beside(loc: Loc) -> Sequence[str]:
        above = ".".join(str(part) for part in loc[1:-1])
        return [path.rpartition(".")[2] for path in known if path.rpartition(".")[0] == above]

    faults = faults_in(kind, rules)
    unknown = [fault for fault in faults if fault["type"] == "extra_forbidden" and len(fault["loc"]) == 1]
    source.faults(unknown, ("health",), beside, "a health rule")
    source.faults([fault for fault in faults if fault not in unknown], ("health",), beside)
    return profile if faults else kind.model_validate_json(strict_json(rules), strict=True)
