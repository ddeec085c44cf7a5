"""Option paths: which there are, and the frozen options that values on some of them make."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, to_jsonable_python

from abr_tune.errors import UserError
from abr_tune.plan.explain import found, requirement

M = TypeVar("M", bound=BaseModel)
Loc = tuple[str | int, ...]
_EXACT = 2**53
"""Whole numbers up to here survive as floating point."""


class ImpossibleOptions(UserError):
    """Values that together make no valid options."""

    def __init__(self, faults: Sequence[tuple[str, str]]) -> None:
        super().__init__(tuple(faults))

    @property
    def faults(self) -> tuple[tuple[str, str], ...]:
        """Path of the option or group of options, and what is wrong with it as the rest of the sentence."""
        faults: tuple[tuple[str, str], ...] = self.args[0]
        return faults

    def __str__(self) -> str:
        return "; ".join(f"{path}: {message}" if path else message for path, message in self.faults)


@dataclass(frozen=True, slots=True)
class Option:
    """One field of an options model, at any depth."""

    path: str
    """Dotted, by alias: `loss.weights.class`."""
    owner: type[BaseModel]
    """The model the field stands in."""
    name: str
    """The field's name in `owner`."""
    field: FieldInfo
    default: Any
    """JSON-ready; None when the field is required or its group has no default."""

    models: tuple[type[BaseModel], ...] = ()
    """The options models the field may hold; empty for a single option."""
    key: str | None = None
    """Of an entry in a mapping that the field holds, where the option is one."""


class OptionPaths(Mapping[str, Option]):
    """The paths of an options model in reading order, groups of options included.

    Those into a mapping with free keys, such as `phases.plan.<name>.until.share`, are known too, though no list of all
    of them can be given: they are not iterated over.
    """

    def __init__(self, fixed: Mapping[str, Option]) -> None:
        self._fixed = fixed
        self.open = {path: entries for path, option in fixed.items() if (entries := _entries(option)) is not None}
        """Path of a mapping -> the types of its keys and values."""

    def __getitem__(self, path: str) -> Option:
        found = self._fixed.get(path) or self._inside(path)
        if found is None:
            raise KeyError(path)
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._fixed)

    def __len__(self) -> int:
        return len(self._fixed)

    def __contains__(self, path: object) -> bool:
        return isinstance(path, str) and (path in self._fixed or self._inside(path) is not None)

    def near(self, path: str) -> list[str]:
        """The paths that somebody who wrote `path` may have meant: the fixed ones, and those inside its mapping."""
        return [*self._fixed, *self._beside(path)]

    def _inside(self, path: str) -> Option | None:
        """The option in a mapping with free keys, however deep."""
        split = self._split(path)
        if split is None:
            return None
        mapping, key, rest = split
        keys, value = self.open[mapping]
        if not key or (keys and key not in keys):
            return None
        models = tuple(kind for kind in _members(value) if _is_model(kind))
        if not rest:
            holder = self._fixed[mapping]
            return Option(path, holder.owner, holder.name, holder.field, None, models, key)
        for model in models:
            if (option := option_paths(model).get(rest)) is not None:
                return replace(option, path=path)
        return None

    def _split(self, path: str) -> tuple[str, str, str] | None:
        """The mapping that a path leads into, the key in it, and the path from there on."""
        for mapping in self.open:
            if path.startswith(f"{mapping}."):
                key, _, rest = path[len(mapping) + 1 :].partition(".")
                return mapping, key, rest
        return None

    def _beside(self, path: str) -> Iterator[str]:
        split = self._split(path)
        if split is None:
            return
        mapping, key, rest = split
        keys, value = self.open[mapping]
        yield from (f"{mapping}.{known}" for known in keys)
        for model in (kind for kind in _members(value) if rest and _is_model(kind)):
            yield from (f"{mapping}.{key}.{inner}" for inner in option_paths(model).near(rest))


@lru_cache(maxsize=64)
def option_paths(model: type[BaseModel]) -> OptionPaths:
    """Every path of an options model."""
    found: dict[str, Option] = {}
    for option in _options_of(model, "", _defaults(model), ()):
        found.setdefault(option.path, option)
    return OptionPaths(found)


def missing_key(model: type[BaseModel], values: Mapping[str, Any], path: str) -> tuple[str, str, list[str]] | None:
    """Of a path into a mapping of groups: its mapping, its key and the keys there are, when its key is not among them.

    A group under a new key would be made of nothing but that one option.
    """
    for mapping, (_, value) in option_paths(model).open.items():
        if path.startswith(f"{mapping}.") and any(map(_is_model, _members(value))) and not _is_number(value):
            key = path[len(mapping) + 1 :].partition(".")[0]
            there = _tree(model, values)
            for part in mapping.split("."):
                there = there.get(part) or {}
            return None if key in there else (mapping, key, list(there))
    return None


def resolve(model: type[M], values: Mapping[str, Any]) -> M:
    """The options that `values` (path -> value, later ones win) make on top of the documented defaults.

    A mapping given for a group of options changes those it names. Raises `ImpossibleOptions`, which names every path
    that does not fit and every rule between options that is broken.
    """
    try:
        return model.model_validate_json(strict_json(_tree(model, values)), strict=True)
    except ValidationError as fault:
        pairs = [(path_of(error), requirement(error) + found(error)) for error in fault.errors(include_url=False)]
        raise ImpossibleOptions(list(dict.fromkeys(pairs))) from None


def defaults_of(model: type[BaseModel], values: Mapping[str, Any]) -> dict[str, Any]:
    """The documented defaults as nested JSON-ready data, with `values` in their places; not checked."""
    return _tree(model, values)


def faults_of(model: type[BaseModel], values: Mapping[str, Any]) -> list[ErrorDetails]:
    """What `resolve` would refuse, as pydantic says it; empty when all is well."""
    return faults_in(model, _tree(model, values))


def faults_in(model: type[BaseModel], data: Any) -> list[ErrorDetails]:
    """What a model refuses in plain data, read as strictly as JSON: no number is made of a text."""
    try:
        model.model_validate_json(strict_json(data), strict=True)
    except ValidationError as fault:
        return placed(fault.errors(include_url=False), data)
    return []


def placed(faults: Sequence[ErrorDetails], data: Any) -> list[ErrorDetails]:
    """The faults with the place in `data` only, without the names that pydantic gives to alternatives in it.

    Of a value that fits no alternative, what is wrong inside of one says more than that it is not another.
    """
    found, inside = [], set[Loc]()
    for fault in faults:
        loc, where = _place(fault, data)
        found.append((ErrorDetails({**fault, "loc": loc}), where))
        if where is not None and len(loc) > len(where):
            inside.add(where)
    return [fault for fault, where in found if where not in inside or fault["loc"] != where]


def _place(fault: ErrorDetails, data: Any) -> tuple[Loc, Loc | None]:
    """Where a fault is, and where in that the value has alternatives."""
    loc: list[str | int] = []
    where = None
    for i, part in enumerate(fault["loc"]):
        there = part in data if isinstance(data, Mapping) else isinstance(data, list | tuple) and isinstance(part, int)
        if there:
            data = data[part] if isinstance(data, Mapping) or part < len(data) else None  # type: ignore[operator]
        elif not (fault["type"] == "missing" and i == len(fault["loc"]) - 1):
            where = tuple(loc) if where is None else where
            continue
        loc.append(part)
    return tuple(loc), where


def strict_json(data: Any) -> str:
    """Plain data as JSON for strict validation; `1e3` and `20.0` become the whole numbers they are."""
    return json.dumps(_whole(data))


def value_at(options: BaseModel, path: str) -> Any:
    """The JSON-ready value at an option path; None below a group that is null, or a number, or has no such entry."""
    value = to_jsonable_python(options, by_alias=True, inf_nan_mode="constants")
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def leaves(model: type[BaseModel], path: str, value: Any) -> dict[str, Any]:
    """A mapping given for a group of options, taken apart into single options; anything else as it is."""
    option = option_paths(model).get(path)
    if option is None or not option.models or not isinstance(value, Mapping) or not value:
        return {path: value}
    apart: dict[str, Any] = {}
    for key, part in value.items():
        apart |= leaves(model, f"{path}.{key}", part)
    return apart


def path_of(error: ErrorDetails) -> str:
    """The dotted option path of a finding; an index is part of it, as in `balance.weights.2`."""
    return ".".join(str(part) for part in error["loc"])


def _tree(model: type[BaseModel], values: Mapping[str, Any]) -> dict[str, Any]:
    """The defaults as nested data, with the values put in their places."""
    tree: dict[str, Any] = json.loads(_default_text(model))
    for path, value in values.items():
        for leaf, part in leaves(model, path, value).items():
            _put(tree, leaf.split("."), part)
    return tree


def _put(tree: dict[str, Any], parts: Sequence[str], value: Any) -> None:
    for part in parts[:-1]:
        if not isinstance(tree.get(part), dict):
            tree[part] = {}
        tree = tree[part]
    if value != {} or not isinstance(tree.get(parts[-1]), dict):
        tree[parts[-1]] = copy.deepcopy(value) if isinstance(value, dict | list) else value


@lru_cache(maxsize=32)
def _default_text(model: type[BaseModel]) -> str:
    """The defaults as JSON: parsing it is the quickest way to a fresh copy."""
    return json.dumps(_defaults(model))


@lru_cache(maxsize=32)
def _defaults(model: type[BaseModel]) -> dict[str, Any]:
    """The documented defaults as nested JSON-ready data; required fields are left out."""
    known: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        if not field.is_required():
            value = field.get_default(call_default_factory=True, validated_data=known)
            known[field.alias or name] = to_jsonable_python(value, by_alias=True, inf_nan_mode="constants")
    return known


def _options_of(
    model: type[BaseModel], prefix: str, values: Mapping[str, Any], above: tuple[type[BaseModel], ...]
) -> Iterator[Option]:
    for name, field in model.model_fields.items():
        key = field.alias or name
        models = tuple(kind for kind in _members(field.annotation) if _is_model(kind))
        option = Option(prefix + key, model, name, field, values.get(key), models)
        yield option
        for inner in option.models:
            if inner not in above:  # a model may hold itself
                known = option.default if isinstance(option.default, dict) else _defaults(inner)
                yield from _options_of(inner, f"{option.path}.", known, (*above, model))


def _members(annotation: Any) -> tuple[Any, ...]:
    """The alternatives of an annotation, looked for through `Annotated` and unions."""
    if get_origin(annotation) is Annotated:
        return _members(get_args(annotation)[0])
    if get_origin(annotation) in {Union, UnionType}:
        return tuple(kind for part in get_args(annotation) for kind in _members(part))
    return (annotation,)


def _entries(option: Option) -> tuple[tuple[str, ...], Any] | None:
    """The words that are keys (none: any are) and the type of the values, of a field that holds only a mapping."""
    members = [kind for kind in _members(option.field.annotation) if kind is not NoneType]
    if len(members) != 1 or get_origin(members[0]) is not dict:
        return None
    keys, value = get_args(members[0])
    return (get_args(keys) if get_origin(keys) is Literal else ()), value


def _is_number(kind: Any) -> bool:
    return any(member in {float, int} for member in _members(kind))


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _whole(data: Any) -> Any:
    """The data with `1e3` and `20.0` as the whole numbers they are, so that they fit whole-number options."""
    if data is None or isinstance(data, str | int):  # most of what there is
        return data
    if isinstance(data, float):
        return int(data) if data.is_integer() and abs(data) < _EXACT else data
    if isinstance(data, Mapping):
        return {key: _whole(value) for key, value in data.items()}
    return [_whole(value) for value in data] if isinstance(data, list | tuple) else data
