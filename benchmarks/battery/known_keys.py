"""Every key that a space file may hold, each in a file that is right, in every kind of place where it may stand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel

from abr_tune.plan.load import KEYS
from abr_tune.plan.methods import PRUNERS, SAMPLERS
from abr_tune.plan.metric_names import METRICS
from abr_tune.plan.overrides import option_paths
from abr_tune.plan.schema import CriterionSection, ObjectiveSection, SpaceFile
from abr_tune.plan.spread import DISTRIBUTIONS, ListEnds, PairEnds
from abr_tune.plan.yaml import Loc
from core.health import HealthOptions
from core.tasks.abr_options import AbrOptions, RecordedData, SimulatedData

_LR: Final = {"log": [1e-5, 1e-2]}
_WHOLE: Final[dict[str, Any]] = {
    "name": "spoiled",
    "task": "abr",
    "search": {"optimizer.lr": _LR, "loss.class_loss": {"choice": ["cross_entropy", "focal"]}},
    "budget": {"trials": 4},
}
"""A file without a mistake."""
_SPREAD: Final[Mapping[str, tuple[str, dict[str, Any]]]] = {
    "uniform": ("model.dropout", {"uniform": [0, 0.5]}),
    "log": ("optimizer.weight_decay", {"log": [1e-4, 0.1]}),
    "int": ("batch_size", {"int": [8, 64], "log": True}),
    "choice": ("balance.scheme", {"choice": ["none", "sqrt"]}),
    "ordered": ("balance.clamp", {"ordered": {"low": [0.2, 1], "high": [1, 6]}}),
    "simplex": ("loss.weights", {"simplex": ["class", "signal", "threshold"]}),
}
"""Each distribution over an option that takes it."""


@dataclass(frozen=True, slots=True)
class Slot:
    """A known key in its place."""

    key: str
    above: Loc
    """Where the mapping stands that holds it."""
    content: Mapping[str, Any]
    """The file with the key as it should be."""
    known: frozenset[str]
    """Keys that may stand there too: a typo that makes one of them is none to a reader."""
    meant: str
    """The suggestion that is right."""

    def spoiled(self, typo: str) -> dict[str, Any]:
        """The file with the typo in the key's place."""
        renamed: dict[str, Any] = _renamed(self.content, self.above, self.key, typo)
        return renamed


def slots() -> Iterator[Slot]:
    """Every key that a space file may hold, in each kind of place."""
    yield from _top()
    yield from _sections()
    yield from _searched()
    yield from _options()
    yield from _tables()


def _slot(above: Loc, key: str, value: Any, known: Sequence[str], meant: str = "", /, **parts: Any) -> Slot:
    """A slot in the whole file with some of its parts replaced, where `key: value` stands in the mapping at `above`."""
    content = {name: part for name, part in {**_WHOLE, **parts}.items() if part is not None}
    return Slot(key, above, _put(content, (*above, key), value), frozenset(known), meant or key)


def _top() -> Iterator[Slot]:
    values: dict[str, Any] = {key: {} for key in KEYS} | _WHOLE
    values |= {"about": "x", "start_from": [], "from": "earlier", "audit": 0.1, "seed": 1}
    values |= {"objective": {"maximize": "val/class/ece"}, "pruner": "none", "sampler": "random"}
    for key in KEYS:
        yield _slot((), key, values[key], KEYS)


def _sections() -> Iterator[Slot]:
    nested: dict[str, dict[str, Any]] = {
        "budget": {"trials": 4, "time": "10m", "epochs": 9},
        "limits": {"time": "5m", "memory": "2GiB"},
        "stop": {"no_improvement": 9},
        "confirm": {"top": 2, "seeds": 2, "folds": 0},
        "resources": {"cpus": 1, "gpus": 0},
    }
    for section, content in nested.items():
        model = SpaceFile.model_fields[section].annotation
        known = _names(model)
        for key in known:
            yield _slot((section,), key, content[key], known, **{section: content})
    criterion: dict[str, Any] = {"go": "> 0.5", "investigate": "> 0.4", "by_epoch": 3}
    for key in _names(CriterionSection):
        gate = {"val/class/accuracy": criterion}
        yield _slot(("gate", "val/class/accuracy"), key, criterion[key], _names(CriterionSection), gate=gate)
    for key in _names(ObjectiveSection):
        yield _slot(("objective",), key, "val/class/ece", _names(ObjectiveSection), objective={})
        yield _slot(("objective", 0), key, "val/class/ece", _names(ObjectiveSection), objective=[{}])
    for data in (SimulatedData, RecordedData):
        content = {"source": "simulated"} if data is SimulatedData else {"source": "mine.npz"}
        for name, field in data.model_fields.items():
            value = content.get(name, list(field.default) if field.default == () else field.default)
            both = [*_names(SimulatedData), *_names(RecordedData)]
            yield _slot(("data",), name, value, both, data=content)
    yield _slot(("start_from", 0), "name", "by hand", [*option_paths(AbrOptions), "name"], start_from=[{}])


def _searched() -> Iterator[Slot]:
    beside: dict[str, Any] = {"confidence": "low", "points": 3, "when": {"loss.class_loss": "focal"}, "log": True}
    guesses: dict[str, Any] = {
        "uniform": 0.1,
        "log": 1e-2,
        "int": 9,
        "choice": "sqrt",
        "ordered": {"low": 0.5, "high": 2.0},
    }
    guesses["simplex"] = {"class": 0.5, "signal": 0.25, "threshold": 0.25}
    for kind, (path, spread) in _SPREAD.items():
        search = {**_WHOLE["search"], path: spread}
        known = [*_names(DISTRIBUTIONS[kind]), *DISTRIBUTIONS]
        yield _slot(("search", path), kind, spread[kind], known, search=search)
        for key in _names(DISTRIBUTIONS[kind]):
            if key not in {kind, "log"}:
                entry = {**spread, "guess": guesses[kind]} if key == "confidence" else spread
                value = guesses[kind] if key == "guess" else beside[key]
                yield _slot(("search", path), key, value, known, search={**search, path: entry})
        guess = guesses[kind]
        for name in guess if isinstance(guess, dict) else ():
            parts = {**search, path: {**spread, "guess": guess}}
            yield _slot(("search", path, "guess"), name, guess[name], list(guess), search=parts)
    yield _slot(
        ("search", "batch_size"), "log", True, _names(DISTRIBUTIONS["int"]), search={"batch_size": {"int": [8, 64]}}
    )
    pair: dict[str, Any] = {"low": [0.2, 1], "high": [1, 6]}
    for path, ends in (("balance.clamp", pair), ("phases.boundaries", {"count": 3, "within": [0, 1]})):
        known = _names(PairEnds) if "low" in ends else _names(ListEnds)
        for key in known:
            yield _slot(("search", path, "ordered"), key, ends[key], known, search={path: {"ordered": ends}})


def _options() -> Iterator[Slot]:
    paths = option_paths(AbrOptions)
    for path, option in paths.items():
        default = option.default
        yield _slot(("train",), path, default, list(paths), train={})
        yield _slot(("start_from", 0), path, default, [*paths, "name"], start_from=[{}])
        spread = {"choice": [default]}
        yield _slot(
            ("search",), path, spread, list(paths), search={"optimizer.lr": _LR} if path != "optimizer.lr" else {}
        )
        group, _, last = path.rpartition(".")
        if group:
            beside = [other.rpartition(".")[2] for other in paths if other.rpartition(".")[0] == group]
            parts = _put({}, tuple(group.split(".")), {})
            yield _slot(("train", *group.split(".")), last, default, beside, path, train=parts)
    conditional = {"model.dropout": {"uniform": [0, 0.5], "when": {}}, "balance.scheme": {"choice": ["none", "sqrt"]}}
    for path, value in (("loss.class_loss", "focal"), ("balance.scheme", "sqrt")):
        search = {**_WHOLE["search"], **conditional}
        yield _slot(("search", "model.dropout", "when"), path, value, list(paths), search=search)


def _tables() -> Iterator[Slot]:
    rules = _names(HealthOptions)
    for rule in rules:
        yield _slot(("health",), rule, {}, rules, health={})
        section = next(part for part in option_paths(HealthOptions)[rule].models)
        for key in _names(section):
            default = section.model_fields[key].get_default()
            yield _slot(("health", rule), key, default, _names(section), health={rule: {}})
    for name, table in (("pruner", PRUNERS), ("sampler", SAMPLERS)):
        for kind, model in table.items():
            yield _slot((name,), kind, {}, list(table), **{name: {}})
            for key, field in model.model_fields.items():
                yield _slot((name, kind), key, field.default, _names(model), **{name: {kind: {}}})
    metrics = [f"val/{group}/{metric}" for group, names in METRICS.items() for metric in names]
    for metric in metrics:
        yield _slot(("constraints",), metric, "> 0.5", metrics, constraints={})
        yield _slot(("gate",), metric, {"go": "> 0.5"}, metrics, gate={})


def _names(model: Any) -> list[str]:
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        raise TypeError(f"{model} is no section")
    return [field.alias or name for name, field in model.model_fields.items()]


def _put(tree: Any, loc: Loc, value: Any) -> Any:
    """A copy of the tree with a value in its place."""
    if not loc:
        return value
    if isinstance(tree, list):
        return [_put(part, loc[1:], value) if i == loc[0] else part for i, part in enumerate(tree)]
    return {**tree, loc[0]: _put(tree.get(loc[0], {}), loc[1:], value)}


def _renamed(tree: Any, above: Loc, key: str, typo: str) -> Any:
    if not above:
        return {typo if name == key else name: value for name, value in tree.items()}
    inner = _renamed(tree[above[0]], above[1:], key, typo)
    if isinstance(tree, list):
        return [inner if i == above[0] else part for i, part in enumerate(tree)]
    return {name: inner if name == above[0] else value for name, value in tree.items()}
