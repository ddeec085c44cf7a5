"""Weights from anywhere: a file is a model or it gets one message, in little time and memory; nothing in it is run."""

from __future__ import annotations

import json
import pickle
import resource
import struct
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save

from abr_tune.errors import UserError
from abr_tune.plan.config import Config, load_config
from abr_tune.weights import Trained, predict_file
from benchmarks.battery import strangers
from benchmarks.battery.strangers import SCALING
from core.data.files import write
from core.data.simulator import simulate_split
from core.tasks.abr_weights import load_model, network_for
from core.training.checkpoint import ABOUT

MODEL = replace(strangers.MODEL, intervals={"threshold_db": 5.0})
Tensors = dict[str, torch.Tensor]


def tensors() -> Tensors:
    return {
        f"fold0.{name}": part.clone() for name, part in network_for(MODEL.options, SCALING, MODEL).state_dict().items()
    }


def written(path: Path, about: Any, held: Tensors) -> Path:
    path.write_bytes(save(held, {ABOUT: about if isinstance(about, str) else json.dumps(about)}))
    return path


def test_a_model_is_read(tmp_path: Path) -> None:
    model = load_model(written(tmp_path / "model.safetensors", MODEL.to_json(), tensors()))
    assert model.about == MODEL
    assert len(model.networks) == 1


HEADERS: list[tuple[str, Any]] = [
    ("class_names", ["A", "A"]),
    ("class_names", ["A", "\x1b[2J"]),
    ("class_names", ["A" * 1000, "B"]),
    ("class_names", [1, 2]),
    ("class_names", ["A", "B", "C"]),
    ("class_names", [str(index) for index in range(100_000)]),
    ("sampling_rate_hz", 1e15),
    ("sampling_rate_hz", -1),
    ("sampling_rate_hz", float("nan")),
    ("sampling_rate_hz", float("inf")),
    ("samples", 10**15),
    ("samples", 0),
    ("samples", "many"),
    ("unit", "parsec"),
    ("trained", ["world domination"]),
    ("intervals", {"threshold_db": -1}),
    ("intervals", {"threshold_db": "wide"}),
    ("options", {"model": {"size": "enormous"}}),
    ("options", {"__class__": "os.system"}),
    ("scalings", []),
    ("scalings", [None]),
    ("scalings", [SCALING.to_json()] * 2_000),
    ("scalings", [SCALING.to_json() | {"signal": 0.0}]),
    ("scalings", [SCALING.to_json() | {"static_sd": [0.0, 1.0, 1.0, 1.0]}]),
    ("scalings", [SCALING.to_json() | {"static_mean": [1.0]}]),
    ("scalings", [SCALING.to_json() | {"threshold": {"mean": 1, "sd": 1, "low": 3, "high": 2}}]),
]


@pytest.mark.parametrize(("key", "value"), HEADERS, ids=lambda value: str(value)[:30])
def test_a_header_that_describes_no_model(tmp_path: Path, key: str, value: Any) -> None:
    path = written(tmp_path / "model.safetensors", MODEL.to_json() | {key: value}, tensors())
    with pytest.raises(ValueError, match="holds no trained ABR model"):
        load_model(path)


@pytest.mark.parametrize("about", ["", "[]", "3", "{}", "not json", '{"a":' * 3000, "null"])
def test_a_header_that_is_no_description(tmp_path: Path, about: str) -> None:
    with pytest.raises(ValueError, match="holds no trained ABR model"):
        load_model(written(tmp_path / "model.safetensors", about, tensors()))


def first(held: Tensors) -> str:
    return next(name for name, part in held.items() if part.numel() > 1)


CHANGES: dict[str, Callable[[Tensors], Tensors]] = {
    "not a number": lambda held: held | {first(held): held[first(held)] * float("nan")},
    "infinite": lambda held: held | {first(held): held[first(held)] / 0},
    "one too few": lambda held: {name: part for name, part in held.items() if name != first(held)},
    "one too many": lambda held: held | {"fold0.more": torch.ones(1)},
    "another shape": lambda held: held | {first(held): torch.ones(3, 3, 3)},
    "complex": lambda held: held | {first(held): held[first(held)].to(torch.complex64)},
    "another fold": lambda held: {name.replace("fold0", "fold1"): part for name, part in held.items()},
    "none": lambda _held: {},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_tensors_that_are_none_of_the_model(tmp_path: Path, change: Callable[[Tensors], Tensors]) -> None:
    with pytest.raises(ValueError, match="holds no trained ABR model"):
        load_model(written(tmp_path / "model.safetensors", MODEL.to_json(), change(tensors())))


def raw(header: Any, *, length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text


BYTES = {
    "nothing": b"",
    "eight bytes": b"\xff" * 8,
    "a header without an end": raw({}, length=2**62),
    "a header of 90 MB that is not there": raw({}, length=90_000_000),
    "no JSON": raw(b"{"),
    "100 GB that are not there": raw(
        {"fold0.w": {"dtype": "F32", "shape": [25_000_000_000], "data_offsets": [0, 10**11]}}
    ),
    "a shape beyond numbers": raw({"a": {"dtype": "F64", "shape": [2**62, 2**62], "data_offsets": [0, 8]}}) + b"\0" * 8,
    "a pickle": pickle.dumps({"a": 1}),
    "what torch saves": b"PK\x03\x04" + b"\0" * 60,
}


@pytest.mark.parametrize("content", BYTES.values(), ids=BYTES)
def test_bytes_that_are_no_weights(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="holds no trained ABR model"):
        load_model(path)


@pytest.mark.parametrize("size", [10**10, 10**13])
def test_a_file_that_is_too_large_is_not_read(tmp_path: Path, size: int) -> None:
    """A hole on disk, but memory when it is read: its shape is looked at first."""
    about = json.dumps(MODEL.to_json())
    entries, end = {}, 0
    for name, part in tensors().items():
        length = size if name == first(tensors()) else 4 * part.numel()
        shape = [length // 4] if length == size else list(part.shape)
        entries[name] = {"dtype": "F32", "shape": shape, "data_offsets": [end, end := end + length]}
    header = raw({"__metadata__": {ABOUT: about}} | entries)
    path = tmp_path / "model.safetensors"
    with path.open("wb") as file:
        file.write(header)
        file.truncate(len(header) + end)
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    with pytest.raises(ValueError, match="holds no trained ABR model"):
        load_model(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000
    assert time.monotonic() - began < 5


def config(folder: Path) -> Config:
    (folder / "config.yaml").write_text("task: abr\ntrain: {}\n", encoding="utf-8")
    return load_config(folder / "config.yaml")


def test_the_command_says_it_in_a_message(tmp_path: Path) -> None:
    path = written(tmp_path / "model.safetensors", MODEL.to_json() | {"samples": 10**15}, tensors())
    recordings = tmp_path / "recordings.npz"
    write(simulate_split("val", 4, 0)[0], recordings)
    with pytest.raises(UserError, match=r"no predictions for .*its number of samples cannot be those of a model"):
        predict_file(Trained(path, config(tmp_path)), recordings, tmp_path / "predictions.csv")
