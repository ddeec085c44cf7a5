"""Pydantic's findings in plain words, and suggestions for misspelt names."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from pydantic_core import ErrorDetails

from abr_tune.plan.distributions import as_text

_Words = Callable[[Mapping[str, Any]], str]


def _expected(context: Mapping[str, Any]) -> str:
    return "must be " + str(context["expected"]).replace("'", "")


def _length(context: Mapping[str, Any]) -> str:
    bound = context.get("min_length", context.get("max_length"))
    return f"must have {'at least' if 'min_length' in context else 'at most'} {bound} entries"


def plain_number(value: float) -> str:
    """A number as a person reads it: whole ones with all their digits, in groups where there are many."""
    if isinstance(value, int) or (value.is_integer() and abs(value) < 2**53):
        return f"{int(value):,}" if abs(value) >= 100_000 else str(int(value))
    return f"{value:g}"


_WORDS: Final[Mapping[str, _Words]] = {
    "missing": lambda _: "is missing",
    "extra_forbidden": lambda _: "is not known here",
    "literal_error": _expected,
    "enum": _expected,
    "int_type": lambda _: "must be a whole number",
    "float_type": lambda _: "must be a number",
    "bool_type": lambda _: "must be true or false",
    "string_type": lambda _: "must be text",
    "path_type": lambda _: "must be a path",
    "list_type": lambda _: "must be a list",
    "tuple_type": lambda _: "must be a list",
    "dict_type": lambda _: "must be a mapping",
    "model_type": lambda _: "must be a mapping",
    "model_attributes_type": lambda _: "must be a mapping",
    "none_required": lambda _: "must be null",
    "finite_number": lambda _: "must be a finite number",
    "greater_than": lambda context: f"must be above {plain_number(context['gt'])}",
    "greater_than_equal": lambda context: f"must be at least {plain_number(context['ge'])}",
    "less_than": lambda context: f"must be below {plain_number(context['lt'])}",
    "less_than_equal": lambda context: f"must be at most {plain_number(context['le'])}",
    "too_short": _length,
    "too_long": _length,
    "string_too_short": lambda _: "must not be empty",
    "value_error": lambda context: str(context["error"]),
}


def requirement(error: ErrorDetails) -> str:
    """What the value must be, as the rest of a sentence that begins with its name."""
    words = _WORDS.get(error["type"])
    if words is not None:
        return words(error.get("ctx", {}))
    message = error["msg"]
    return re.sub(r"^Input should ", "must ", message[:1] + message[1:])


def found(error: ErrorDetails) -> str:
    """The value that was found, as the end of a sentence; empty where it adds nothing."""
    if error["type"] in {"missing", "extra_forbidden", "value_error"} or isinstance(error["input"], dict | list):
        return ""
    text = as_text(error["input"])
    return f", not {text if len(text) <= 60 else text[:57] + '...'}" if text else ""


def candidates(error: ErrorDetails) -> list[str]:
    """The words a choice would have taken."""
    expected = str(error.get("ctx", {}).get("expected", "")) if error["type"] in {"literal_error", "enum"} else ""
    return re.findall(r"'([^']*)'", expected)


def suggest(word: str, known: Iterable[str]) -> str | None:
    """`did you mean ...?` for the nearest of the known names, or None when none is near."""
    meant = nearest(word, known)
    return f"did you mean {meant}?" if meant else None


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known name that was probably meant; None when none is near."""
    names = list(dict.fromkeys(known))
    found = _nearest(word, names)
    if found is None:
        # `lr` for `optimizer.lr`: the last part of a path by itself.
        tails: dict[str, list[str]] = {}
        for name in names:
            tails.setdefault(name.rsplit(".", 1)[-1], []).append(name)
        unique = {tail: paths[0] for tail, paths in tails.items() if len(paths) == 1}
        tail = _nearest(word.rsplit(".", 1)[-1], list(unique))
        found = unique[tail] if tail else None
    return found


def _nearest(word: str, names: list[str]) -> str | None:
    folded: dict[str, str] = {}
    for name in names:
        folded.setdefault(name.lower(), name)
    target = word.lower()
    if target in folded:
        return folded[target]
    one_edit = [name for low, name in folded.items() if _one_edit_apart(target, low)]
    if len(one_edit) == 1:
        return one_edit[0]
    close = difflib.get_close_matches(target, [name.lower() for name in one_edit] or list(folded), n=1, cutoff=0.6)
    return folded[close[0]] if close else None


def _one_edit_apart(a: str, b: str) -> bool:
    """Whether one letter inserted, left out, replaced, or swapped with its neighbour makes one of the other."""
    if abs(len(a) - len(b)) > 1:
        return False
    start = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    rest_a, rest_b = a[start:], b[start:]
    swapped = rest_a[1:2] + rest_a[:1] + rest_a[2:]
    return rest_a[1:] == rest_b[1:] or rest_a[1:] == rest_b or rest_a == rest_b[1:] or swapped == rest_b
