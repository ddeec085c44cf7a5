"""The documents' curricula, and phases of the ABR network as its weights are saved and used."""

from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any, get_args

import pytest
import torch

from core.data.recordings import Fold, Recordings
from core.tasks.abr_data import AbrDataset
from core.tasks.abr_names import PARTS, TERMS
from core.tasks.abr_options import AbrOptions, PhaseOptions
from core.tasks.abr_phases import PRESETS, Preset
from core.tasks.abr_run import build_run
from core.tasks.abr_weights import load_model, predictions
from core.training.checkpoint import OtherRun
from core.training.loop import train
from core.training.phases import Span
from core.training.run import Run

BumpRecordings = Callable[..., Recordings]
BACKBONE = ("condition", "convolution", "s4", "attention")
REGRESSION = {"signal", "peak_latency", "peak_amplitude", "threshold"}


@pytest.fixture(scope="module")
def data(bump_recordings: BumpRecordings) -> AbrDataset:
    fold = Fold(train=bump_recordings(16), val=bump_recordings(10, seed=1))
    return AbrDataset(folds=(fold,), fingerprint="bumps")


def run_of(data: AbrDataset, **options: Any) -> Run:
    return build_run(AbrOptions.model_validate({"batch_size": 8} | options), data, seed=2)


def preset(name: Preset, epochs: int, *boundaries: float) -> tuple[Span, ...]:
    return PhaseOptions(preset=name, boundaries=boundaries).spans(epochs)


def firsts(spans: tuple[Span, ...]) -> list[int]:
    return [span.first for span in spans]


def test_every_preset_has_phases() -> None:
    assert set(PRESETS) == set(get_args(Preset))
    assert [name for name, phases in PRESETS.items() if not phases] == ["none"]
    for name in PRESETS:
        for epochs in (1, 2, 7, 20, 150):
            spans = preset(name, epochs)
            assert firsts(spans) == sorted(set(firsts(spans)))
            assert (spans[0].first, spans[-1].last) == (1, epochs)
        assert set(preset(name, 20)[-1].on) == set(TERMS)


def test_document_000_in_a_hundred_epochs() -> None:
    spans = preset("class_first", 100)
    assert firsts(spans) == [1, 21, 41, 61]
    assert [set(span.on) for span in spans] == [
        {"class"},
        {"class", "signal"},
        set(TERMS) - {"threshold"},
        set(TERMS),
    ]
    by_order = PhaseOptions(boundaries=(0.2, 0.4, 0.6)).spans(100)
    assert [(span.first, set(span.terms)) for span in by_order] == [(span.first, set(span.terms)) for span in spans]


def test_document_001_in_a_hundred_epochs() -> None:
    existence, fade_in, everything = preset("existence_first", 100)
    assert [(span.first, span.last) for span in (existence, fade_in, everything)] == [(1, 20), (21, 50), (51, 100)]
    assert set(existence.on) == {"class", "peak_exist"}
    assert set(fade_in.weights) == REGRESSION
    assert not everything.weights


def test_document_004_in_a_hundred_and_fifty_epochs() -> None:
    s4, transformers, tasks, everything = preset("s4_first", 150)
    assert firsts((s4, transformers, tasks, everything)) == [1, 31, 61, 101]
    assert s4.gates == {"attention": 0.0}
    assert set(transformers.gates) == {"attention"}
    assert not tasks.gates
    assert set(tasks.weights) == REGRESSION


def test_document_002_in_ten_epochs() -> None:
    heads, everything = preset("heads_first", 10)
    assert [(span.first, span.last) for span in (heads, everything)] == [(1, 5), (6, 10)]
    assert heads.frozen == BACKBONE
    assert everything.lr == dict.fromkeys(BACKBONE, 5e-6 / 1e-4)


def test_boundaries_move_the_phases_of_a_preset() -> None:
    assert firsts(preset("existence_first", 10, 0.5, 0.8)) == [1, 6, 9]
    assert firsts(preset("existence_first", 10, 0.0, 0.5)) == [1, 6]


@pytest.mark.parametrize("name", [name for name in PRESETS if name != "none"])
def test_every_preset_trains(name: Preset, data: AbrDataset, tmp_path: Path) -> None:
    run = run_of(data, epochs=5, phases={"preset": name})
    reports = list(train(run, tmp_path))
    assert len({report.phase for report in reports}) == len(PRESETS[name])
    assert set(reports[-1].active) == set(TERMS)


def test_frozen_parts_of_the_network_stay_bit_for_bit(data: AbrDataset, tmp_path: Path) -> None:
    run = run_of(data, epochs=2, phases={"preset": "heads_first"}, optimizer={"weight_decay": 10.0})
    network = run.learners[0].network
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    next(train(run, tmp_path))
    parts = run.learners[0].parts
    frozen = {id(p) for part in BACKBONE for module in parts[part] for p in module.parameters()}
    assert len(parts) == len(PARTS)
    for name, parameter in network.named_parameters():
        assert torch.equal(parameter, before[name]) == (id(parameter) in frozen), name


def test_weights_saved_behind_a_gate_are_used_behind_it(data: AbrDataset, tmp_path: Path) -> None:
    plan = {"half": {"gates": {"attention": 0.4}}}
    run = run_of(data, epochs=1, phases={"plan": plan}, model={"backbone": "unet"})
    next(train(run, tmp_path))
    model = load_model(tmp_path / "epoch-000001" / "model.safetensors")
    assert model.about.gates == {"attention": 0.4}
    val = run.learners[0].examples
    ours, theirs = (
        predictions(network, model.about.scalings[0], val, trained=TERMS)  # type: ignore[arg-type]
        for network in (run.learners[0].network, model.networks[0])
    )
    assert ours.signal is not None
    assert theirs.signal is not None
    assert (ours.signal == theirs.signal).all()
    for gate in model.networks[0].gates()["attention"]:
        gate.open = 1.0
    opened = predictions(model.networks[0], model.about.scalings[0], val, trained=TERMS)  # type: ignore[arg-type]
    assert opened.signal is not None
    assert (opened.signal != theirs.signal).any()


def test_an_average_is_what_predicts(data: AbrDataset, tmp_path: Path) -> None:
    run = run_of(data, epochs=2, ema={"decay": 0.9})
    *_, last = train(run, tmp_path)
    model = load_model(tmp_path / "epoch-000002" / "model.safetensors")
    own = run.learners[0].network.state_dict()
    used = model.networks[0].state_dict()
    assert any(not torch.equal(own[name], used[name]) for name in own)
    run.learners[0].network.load_state_dict(used)
    assert run.evaluate().values.values == last.metrics


def test_phases_that_do_not_come_are_told_of(data: AbrDataset, caplog: pytest.LogCaptureFixture) -> None:
    run_of(data, epochs=2, phases={"preset": "s4_first"})
    assert "of 2 epochs none is left for s4, tasks" in caplog.text


def test_the_same_phases_in_another_order_are_another_run(data: AbrDataset, tmp_path: Path) -> None:
    phases: dict[str, Any] = {"one": {"terms": ["class"]}, "two": {"terms": ["threshold"]}, "all": {}}
    order = {"boundaries": (0.3, 0.6), "plan": phases}
    next(train(run_of(data, epochs=6, phases=order), tmp_path))
    other = order | {"plan": {name: phases[name] for name in ("two", "one", "all")}}
    with pytest.raises(OtherRun, match="phases differ"):
        next(train(run_of(data, epochs=6, phases=other), tmp_path))


def test_rates_by_part_are_read(data: AbrDataset) -> None:
    run = run_of(data, optimizer={"lr": 0.01, "lr_of": {"class_head": 0.5, "s4": 0.01}})
    found = {(group["name"], group["part"]): group["peak_lr"] for group in run.learners[0].optimizer.param_groups}
    assert found["decay", "class_head"] == pytest.approx(0.005)
    assert found["decay", "s4"] == found["state_space", "s4"] == pytest.approx(1e-4)
    assert found["decay", None] == pytest.approx(0.01)
    plain = run_of(data).learners[0].optimizer
    assert [group["part"] for group in plain.param_groups] == [None] * 3
    assert next(group["peak_lr"] for group in plain.param_groups if group["name"] == "state_space") == 1e-3


def test_interrupted_equals_uninterrupted_with_a_curriculum(data: AbrDataset, tmp_path: Path) -> None:
    options: dict[str, Any] = {
        "epochs": 5,
        "phases": {"preset": "s4_first"},
        "schedules": {"dropout": {}, "weight_decay": {}},
        "ema": {"decay": 0.9},
    }
    list(train(run_of(data, **options), tmp_path / "whole"))
    list(islice(train(run_of(data, **options), tmp_path / "parts"), 2))
    list(train(run_of(data, **options), tmp_path / "parts"))
    for name in ("model.safetensors", "optimizer.safetensors"):
        ours, theirs = (tmp_path / each / "epoch-000005" / name for each in ("parts", "whole"))
        assert ours.read_bytes() == theirs.read_bytes(), name
