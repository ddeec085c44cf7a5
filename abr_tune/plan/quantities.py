"""Small texts with a meaning: times such as `10m`, sizes such as `2GiB`, comparisons such as `> 0.60`."""

from __future__ import annotations

import math
import re
from typing import Final, Literal, cast

from abr_tune.plan.plan import Bound

_SECONDS: Final = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0}
_TIME: Final = re.compile("".join(rf"(?:(?P<{unit}>\d+(?:\.\d+)?){unit})? *" for unit in _SECONDS))
_BYTES: Final = {
    "": 1,
    "b": 1,
    **{f"{letter}b": 1000**power for power, letter in enumerate("kmgt", 1)},
    **{f"{letter}ib": 1024**power for power, letter in enumerate("kmgt", 1)},
}
_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?) *([a-z]*)", re.IGNORECASE)
_LONGEST: Final = 64
"""Characters of the longest of these texts; patterns with several optional parts take ever longer on longer ones."""
_BOUND: Final = re.compile(r"(>=|<=|==|>|<) *([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)")


def parse_seconds(value: str | float) -> float:
    """Seconds in `90s`, `10m`, `1h 30m`, or a plain number of seconds. Raises `ValueError` for anything else."""
    if isinstance(value, str):
        parts = _parts(value.strip())
        seconds = sum(float(number) * _SECONDS[unit] for unit, number in parts.items())
    else:
        seconds = float(value)
    if not math.isfinite(seconds):
        raise ValueError("must be a time that ends, such as 10m; for none, leave the key out")
    if seconds <= 0:
        raise ValueError("must be longer than no time")
    return seconds


def _parts(text: str) -> dict[str, str]:
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return {"s": text}
    match = _TIME.fullmatch(text) if len(text) <= _LONGEST else None
    parts = {unit: number for unit, number in match.groupdict().items() if number} if match else {}
    if not parts:
        raise ValueError(f"must be a time such as 10m or 1h 30m, not {text or 'nothing'}")
    return parts


def parse_bytes(value: str | float) -> int:
    """Bytes in `2GiB`, `500MB`, or a plain number of bytes. Raises `ValueError` for anything else."""
    text = value.strip() if isinstance(value, str) else repr(value)
    match = _SIZE.fullmatch(text) if len(text) <= _LONGEST else None
    unit = _BYTES.get(match[2].lower()) if match else None
    if match is None or unit is None:
        raise ValueError(f"must be a size such as 2GiB or 500MB, not {value or 'nothing'}")
    size = float(match[1]) * unit
    if not (size >= 1 and math.isfinite(size)):
        raise ValueError(f"must be at least one byte, not {value}")
    return int(size)


def parse_bound(text: str) -> Bound:
    """The comparison in `> 0.60` or `== 5`. Raises `ValueError` when it is none."""
    match = _BOUND.fullmatch(text.strip()) if len(text) <= _LONGEST else None
    if match is None:
        raise ValueError(f"must be a comparison such as > 0.60 or == 5, not {text or 'nothing'}")
    operator, number = match.groups()
    if not math.isfinite(float(number)):
        raise ValueError(f"must compare with a finite number, not {number}")
    return Bound(cast(Literal[">", ">=", "<", "<=", "=="], operator), float(number))
