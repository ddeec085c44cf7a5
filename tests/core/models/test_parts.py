"""Parts and gates of a network: who freezes what, and what a shut gate leaves."""

from typing import ClassVar

import pytest
import torch
from torch import nn

from core.data.recordings import Recordings
from core.data.scaling import fit_scaling
from core.models.backbones import BACKBONES
from core.models.encoder import Block
from core.models.gate import Gate
from core.models.network import AbrNetwork, build_network
from core.models.parts import gates_of, parts_of
from core.tasks.abr_names import PARTS, Part
from core.tasks.abr_options import Backbone, ModelOptions


def network_of(recordings: Recordings, **options) -> AbrNetwork:
    torch.manual_seed(0)
    return build_network(
        ModelOptions(**options),
        fit_scaling(recordings),
        samples=recordings.samples,
        sampling_rate_hz=recordings.sampling_rate_hz,
        num_classes=5,
    )


@pytest.mark.parametrize("backbone", BACKBONES)
def test_every_parameter_is_in_exactly_one_part(bump_recordings, backbone: Backbone) -> None:
    network = network_of(bump_recordings(4), backbone=backbone)
    parts = network.parts()
    assert tuple(parts) == PARTS
    named = [id(p) for modules in parts.values() for module in modules for p in module.parameters()]
    assert sorted(named) == sorted(id(p) for p in network.parameters())


@pytest.mark.parametrize("backbone", BACKBONES)
def test_parts_are_what_they_are_called(bump_recordings, backbone: Backbone) -> None:
    network = network_of(bump_recordings(4), backbone=backbone)
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    found = {
        part: {names[id(p)] for module in modules for p in module.parameters()}
        for part, modules in network.parts().items()
    }
    heads = {"class_head": ["class_head"], "threshold_head": ["threshold_head"], "signal_head": ["signal_head"]}
    heads["peak_heads"] = ["exist_head", "latency_head", "amplitude_head"]
    for part, children in heads.items():
        assert found[part] == {name for name in names.values() if name.partition(".")[0] in children}
    assert {name for name in names.values() if "film" in name} < found["condition"]
    assert {name for name in names.values() if "s4d" in name} < found["s4"]


def test_weights_that_belong_to_no_part_are_an_error() -> None:
    class Lost(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(2, 2)

    class Mixed(nn.Module):
        part: ClassVar[Part] = "convolution"

        def __init__(self) -> None:
            super().__init__()
            self.block = Block(4, 2, 3, 0.0)
            self.scale = nn.Parameter(torch.ones(1))

    with pytest.raises(TypeError, match="Linear has weights of its own that belong to no one part"):
        parts_of(Lost())
    with pytest.raises(TypeError, match="Mixed has weights of its own that belong to no one part"):
        parts_of(Mixed())
    assert {part: len(modules) for part, modules in parts_of(Lost(), "condition").items()} == {"condition": 1}


@pytest.mark.parametrize("backbone", BACKBONES)
def test_gates_lie_in_the_parts_they_hold_back(bump_recordings, backbone: Backbone) -> None:
    network = network_of(bump_recordings(4), backbone=backbone)
    gates = network.gates()
    assert gates["s4"]
    assert all(gates.values())
    everywhere = [id(module) for module in network.modules() if isinstance(module, Gate)]
    assert sorted(id(gate) for held in gates.values() for gate in held) == sorted(everywhere)


def test_a_gate_scales_its_branch() -> None:
    gate, x, change = Gate(), torch.tensor([1.0, 2.0]), torch.tensor([0.5, 4.0])
    assert gate(x, lambda: change).tolist() == [1.5, 6.0]
    gate.open = 0.5
    assert gate(x, lambda: change).tolist() == [1.25, 4.0]


def test_a_shut_gate_computes_nothing_and_sends_no_gradient() -> None:
    block = Block(4, 2, 3, 0.0)
    [gate] = gates_of(parts_of(block))["s4"]
    gate.open = 0.0
    called: list[int] = []
    block.mix.register_forward_hook(lambda *_: called.append(1))
    x_BDL = torch.randn(2, 4, 10, requires_grad=True)
    made = block(x_BDL, torch.randn(2, 3))
    assert torch.equal(made, x_BDL)
    made.sum().backward()
    assert not called
    assert all(parameter.grad is None for parameter in block.parameters())
    gate.open = 1.0
    block(x_BDL, torch.randn(2, 3)).sum().backward()
    assert called
    assert all(parameter.grad is not None for parameter in block.parameters())
