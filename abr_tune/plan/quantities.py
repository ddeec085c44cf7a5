"""Small texts with a meaning: times such as `10m`, comparisons such as `> 0.60`."""

from __future__ import annotations

import math
import re
from typing import Final, Literal, cast

from abr_tune.plan.plan import Bound

_SECONDS: Final = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0}
_TIME: Final = re.compile("".join(rf"(?:(?P<{unit}>\d+(?:\.\d+)?){unit})? *" for unit in _SECONDS))
_BOUND: Final = re.compile(r"(>=|<=|==|>|<) *([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)")


def parse_seconds(value: str | float) -> float:
    """Seconds in `90s`, `10m`, `1h 30m`, or a plain number of seconds. Raises `ValueError` for anything else."""
    if isinstance(value, str):
        parts = _parts(value.strip())
        seconds = sum(float(number) * _SECONDS[unit] for unit, number in parts.items())
    else:
        seconds = float(value)
    if not (seconds > 0 and math.isfinite(seconds)):
        raise ValueError("must be longer than no time")
    return seconds


def _parts(text: str) -> dict[str, str]:
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return {"s": text}
    match = _TIME.fullmatch(text)
    parts = {unit: number for unit, number in match.groupdict().items() if number} if match else {}
    if not parts:
        raise ValueError(f"must be a time such as 10m or 1h 30m, not {text or 'nothing'}")
    return parts


def parse_bound(text: str) -> Bound:
    """The comparison in `> 0.60` or `== 5`. Raises `ValueError` when it is none."""
    match = _BOUND.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"must be a comparison such as > 0.60 or == 5, not {text or 'nothing'}")
    operator, number = match.groups()
    if not math.isfinite(float(number)):
        raise ValueError(f"must compare with a finite number, not {number}")
    return Bound(cast(Literal[">", ">=", "<", "<=", "=="], operator), float(number))
