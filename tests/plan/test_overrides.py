"""Option paths and the options that values on them make."""

from typing import Annotated, Literal

import pytest
from hypothesis import given, strategies as st
from pydantic import BaseModel, Field, model_validator

from abr_tune.plan.docs import field_doc
from abr_tune.plan.overrides import ImpossibleOptions, leaves, option_paths, resolve, value_at
from core.tasks.abr_options import AbrOptions


class Inner(BaseModel, frozen=True, extra="forbid"):
    low: float = 1.0
    high: float = 2.0


class Outer(BaseModel, frozen=True, extra="forbid"):
    lr: Annotated[float, Field(gt=0)]
    """How fast."""
    group: Inner = Inner(low=5.0)
    maybe: Inner | None = None
    kind: Literal["a", "b"] = "a"
    widths: tuple[int, ...] = (1, 2)

    @model_validator(mode="after")
    def _b_is_wide(self) -> "Outer":
        if self.kind == "b" and len(self.widths) < 3:
            raise ValueError("kind b needs three widths")
        return self


def fields_of(model: type[BaseModel], prefix: str = "") -> set[str]:
    """Every field path, by a walk of its own over the schema that pydantic makes."""
    schema = model.model_json_schema(by_alias=True)

    def walk(node: dict[str, object], prefix: str) -> set[str]:
        paths: set[str] = set()
        properties = node.get("properties", {})
        assert isinstance(properties, dict)
        for name, child in properties.items():
            paths.add(prefix + name)
            for part in [child, *child.get("anyOf", [])]:
                if "$ref" in part:
                    paths |= walk(schema["$defs"][part["$ref"].rpartition("/")[2]], f"{prefix}{name}.")
        return paths

    return walk(schema, prefix)


def test_every_field_of_the_abr_options_has_a_path() -> None:
    assert set(option_paths(AbrOptions)) == fields_of(AbrOptions)
    assert {"loss.weights.class", "balance.clamp.low", "optimizer.lr"} <= set(option_paths(AbrOptions))


def test_every_path_of_the_abr_options_can_be_set_to_its_default() -> None:
    known = option_paths(AbrOptions)
    null = tuple(f"{path}." for path, option in known.items() if option.models and option.default is None)
    assert "balance.clamp." in null
    for path, option in known.items():
        if not path.startswith(null):
            assert resolve(AbrOptions, {path: option.default}) == AbrOptions()


def test_groups_take_paths_mappings_and_null() -> None:
    assert resolve(Outer, {"lr": 1, "group.high": 9}).group == Inner(low=5, high=9)
    assert resolve(Outer, {"lr": 1, "group": {"high": 9}}).group == Inner(low=5, high=9)
    assert resolve(Outer, {"lr": 1, "maybe.low": 0.5}).maybe == Inner(low=0.5)
    assert resolve(Outer, {"lr": 1, "maybe": {}}).maybe == Inner()
    assert resolve(Outer, {"lr": 1, "maybe.low": 0.5, "maybe": None}).maybe is None
    assert resolve(Outer, {"lr": 1, "maybe": None, "maybe.low": 0.5}).maybe == Inner(low=0.5)


def test_later_values_win() -> None:
    assert resolve(Outer, {"lr": 1, "group": {"low": 3}, "group.low": 4}).group.low == 4


def test_whole_numbers_may_be_written_as_floats_and_texts_are_no_numbers() -> None:
    assert resolve(AbrOptions, {"epochs": 1e1}).epochs == 10
    for wrong in ("10", True, 2.5):
        with pytest.raises(ImpossibleOptions, match="epochs: must be a whole number"):
            resolve(AbrOptions, {"epochs": wrong})


@given(st.floats(1e-12, 1e6))
def test_floats_arrive_bit_for_bit(number: float) -> None:
    assert resolve(AbrOptions, {"optimizer.lr": number}).optimizer.lr == number


def test_everything_impossible_is_named_at_once() -> None:
    with pytest.raises(ImpossibleOptions) as caught:
        resolve(AbrOptions, {"optimizer.lr": -1, "optimizer.Ir": 1, "balance.clamp": {"low": 3, "high": 1}})
    assert dict(caught.value.faults) == {
        "optimizer.lr": "must be above 0, not -1",
        "optimizer.Ir": "is not known here",
        "balance.clamp": "low 3.0 is above high 1.0",
    }
    with pytest.raises(ImpossibleOptions, match="kind b needs three widths"):
        resolve(Outer, {"lr": 1, "kind": "b"})
    with pytest.raises(ImpossibleOptions, match="lr: is missing"):
        resolve(Outer, {})


def test_impossible_options_survive_the_way_back_from_a_worker() -> None:
    import pickle

    fault = ImpossibleOptions([("a", "b")])
    assert str(pickle.loads(pickle.dumps(fault))) == str(fault) == "a: b"


def test_the_defaults_are_never_changed() -> None:
    resolve(AbrOptions, {"model.inputs": ["signal"], "loss.weights.class": 9})
    assert resolve(AbrOptions, {}) == AbrOptions()


def test_mappings_are_taken_apart_only_for_groups() -> None:
    assert leaves(Outer, "group", {"low": 1, "high": 2}) == {"group.low": 1, "group.high": 2}
    assert leaves(Outer, "widths", [1]) == {"widths": [1]}
    assert leaves(Outer, "maybe", None) == {"maybe": None}


def test_values_are_read_at_their_paths() -> None:
    options = resolve(AbrOptions, {"loss.weights.class": 3})
    assert value_at(options, "loss.weights.class") == 3
    assert value_at(options, "balance.clamp.low") is None


def test_docstrings_are_found_under_fields_and_through_inheritance() -> None:
    class Later(Outer):
        pass

    assert field_doc(Outer, "lr") == "How fast."
    assert field_doc(Later, "lr") == "How fast."
    assert field_doc(Outer, "kind") == ""
