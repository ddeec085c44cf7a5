"""The U-Net: what stands where, what reaches what, what each option takes away."""

from typing import Any, get_args

import pytest
import torch
from torch import Tensor, nn

from core.models.attention import Attention
from core.models.backbones import UNET_WIDTHS, build_unet
from core.models.blocks import Convolution, Downsample, GlobalContext, StateSpace, Upsample
from core.models.encoder import FiLM
from core.models.features import Features
from core.models.parts import gates_of, parts_of
from core.models.s4d import S4D
from core.models.skips import SKIPS
from core.models.unet import ATTENTION_FROM, UNet, lengths
from core.tasks.abr_names import Part
from core.tasks.abr_options import ModelOptions, ModelSize
from core.tasks.abr_unet_options import AttentionKind, Skip, UNetOptions

CONDITION = 32


def unet(samples: int = 200, *, signals: int = 1, size: ModelSize = "tiny", **options: Any) -> UNet:
    torch.manual_seed(0)
    return build_unet(ModelOptions(size=size, dropout=0.0, unet=UNetOptions(**options)), samples, signals)


def trained(network: UNet) -> UNet:
    """The network as after some training: what begins as nothing is something."""
    for parameter in network.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.3)
    return network


def made(network: UNet, x_BCT: Tensor, condition_BE: Tensor | None = None) -> Features:
    features: Features = network(x_BCT, torch.zeros(len(x_BCT), CONDITION) if condition_BE is None else condition_BE)
    return features


def attentions(module: nn.Module) -> int:
    return sum(isinstance(inner, Attention) for inner in module.modules())


def signal(samples: int = 200, signals: int = 1) -> Tensor:
    return torch.randn(2, signals, samples, generator=torch.Generator().manual_seed(1))


def test_the_time_axis_is_halved_four_times() -> None:
    assert lengths(200) == (200, 100, 50, 25, 12)


@pytest.mark.parametrize("samples", [16, 199, 200, 201, 256])
def test_any_number_of_samples(samples: int) -> None:
    network = unet(200, signals=2)
    features = made(network, signal(samples, 2))
    assert features.fine_BCL.shape == (2, network.sizes.fine, samples)
    assert features.tokens_BDL.shape == (2, network.sizes.tokens, samples // 8)
    assert features.summary_BF.shape == (2, network.sizes.summary)
    assert features.fine_stride == network.sizes.fine_stride == 1


@pytest.mark.parametrize("size", UNET_WIDTHS)
def test_levels_are_as_long_as_they_should_be(size: ModelSize) -> None:
    """Each level's blocks see as many tokens as `lengths` says; the decoder goes back through the same lengths."""
    samples = 201
    network = build_unet(ModelOptions(size=size), samples, 1)
    seen: list[int] = []
    for block in [*network.encoder, network.bottleneck, *network.decoder]:
        block.register_forward_hook(lambda _module, inputs, _output: seen.append(inputs[0].shape[-1]))
    made_features = network(signal(samples), torch.zeros(2, {"tiny": 32, "small": 64, "base": 128}[size]))
    assert seen == [201, 100, 50, 25, 12, 12, 25, 50, 100]
    assert made_features.fine_BCL.shape[-1] == samples


@pytest.mark.parametrize(
    ("samples", "levels"), [(49, 0), (50, 1), (51, 1), (99, 1), (100, 2), (199, 2), (200, 3), (201, 3), (1600, 4)]
)
def test_attention_stands_where_there_are_fifty_tokens(samples: int, levels: int) -> None:
    network = unet(samples)
    attended = [tokens >= ATTENTION_FROM for tokens in lengths(samples)[:-1]]
    assert sum(attended) == levels
    assert [attentions(level) > 0 for level in network.encoder] == attended
    assert [attentions(level) > 0 for level in reversed(list(network.decoder))] == attended
    # 1,600 samples leave 100 tokens there.
    assert attentions(network.bottleneck) == 0


def test_every_level_has_its_state_space() -> None:
    network = unet()
    for block in [*network.encoder, network.bottleneck, *network.decoder]:
        assert any(isinstance(inner, S4D) for inner in block.modules())


def test_blocks_come_in_the_documented_order() -> None:
    network = unet()
    seen: list[str] = []
    for name in ("convolution", "transformer", "state_space", "down", "film"):
        network.encoder[0].get_submodule(name).register_forward_hook(lambda *_, name=name: seen.append(name))
    for name in ("state_space", "up", "transformer", "skip", "film"):
        network.decoder[3].get_submodule(name).register_forward_hook(lambda *_, name=name: seen.append(name))
    made(network, signal())
    assert seen[:5] == ["convolution", "transformer", "state_space", "down", "film"]
    assert seen[5:] == ["state_space", "up", "transformer", "skip", "film"]


@pytest.mark.parametrize("skip", SKIPS)
@pytest.mark.parametrize("level", range(4))
def test_a_skip_that_is_cut_changes_what_comes_out(skip: Skip, level: int) -> None:
    network = trained(unet(skip=skip))
    whole = made(network, signal()).fine_BCL

    def cut(_module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        x_BCL, skip_BCL, *rest = inputs
        return x_BCL, torch.zeros_like(skip_BCL), *rest

    network.decoder[level].register_forward_pre_hook(cut)
    changed = (made(network, signal()).fine_BCL - whole).abs().max()
    assert changed == 0 if skip == "none" else changed > 1e-4


@pytest.mark.parametrize("asks", [True, False])
def test_the_decoder_asks_the_encoders_output(asks: bool) -> None:
    network = trained(unet(cross_attention=asks))
    whole = made(network, signal()).fine_BCL

    def forget(_module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        x_BCL, skip_BCL, encoded_BCL, condition_BE = inputs
        return x_BCL, skip_BCL, torch.randn_like(encoded_BCL), condition_BE

    network.decoder[-1].register_forward_pre_hook(forget)
    changed = (made(network, signal()).fine_BCL - whole).abs().max()
    assert changed > 1e-4 if asks else changed == 0


VARIANTS: list[dict[str, Any]] = [
    {},
    *({"skip": skip} for skip in get_args(Skip)),
    *({"attention": kind} for kind in get_args(AttentionKind)),
    *({name: False} for name in ("multi_scale", "cross_attention", "s4", "global_context", "film")),
    {"attention": "none", "cross_attention": False, "skip": "concat"},
]


@pytest.mark.parametrize("options", VARIANTS, ids=str)
def test_every_parameter_gets_a_gradient(options: dict[str, Any]) -> None:
    """Once what begins as nothing is something; the condition too is felt, but where it modulates nothing."""
    network = trained(unet(**options))
    condition_BE = torch.randn(2, CONDITION, requires_grad=True)
    features = made(network, signal(), condition_BE)
    (features.fine_BCL.square().sum() + features.tokens_BDL.square().sum()).backward()
    without = [
        name for name, parameter in network.named_parameters() if parameter.grad is None or not parameter.grad.any()
    ]
    assert not without
    assert (condition_BE.grad is not None) is options.get("film", True)


def test_every_option_takes_something_away() -> None:
    """An option that nothing read would leave the modules as they are."""
    whole = census(unet())
    kinds = {"multi_scale": Convolution, "s4": StateSpace, "global_context": GlobalContext, "film": FiLM}
    for name in UNetOptions.model_fields:
        less = census(unet(**{name: "none" if name in {"attention", "skip"} else False}))
        assert less != whole, name
        if name in kinds and name != "multi_scale":
            assert kinds[name].__name__ not in less
    assert set(UNetOptions.model_fields) > set(kinds)


def census(module: nn.Module) -> dict[str, int]:
    found: dict[str, int] = {}
    for inner in module.modules():
        found[type(inner).__name__] = found.get(type(inner).__name__, 0) + 1
    return found


def test_a_condition_modulates_nothing_at_the_start_and_everything_later() -> None:
    network, x_BCT = unet(), signal()
    one, two = torch.randn(2, 2, CONDITION)
    assert torch.equal(made(network, x_BCT, one).fine_BCL, made(network, x_BCT, two).fine_BCL)
    for module in network.modules():
        if isinstance(module, FiLM):
            nn.init.normal_(module.affine.weight)
    assert (made(network, x_BCT, one).fine_BCL - made(network, x_BCT, two).fine_BCL).abs().max() > 0.01


def test_residual_branches_begin_as_nothing() -> None:
    x_BCL = torch.randn(2, 8, 30)
    for branch in (
        Convolution(8, multi_scale=True),
        Convolution(8, multi_scale=False),
        StateSpace(8, 4, 0.0, 4),
        GlobalContext(8),
    ):
        assert torch.equal(branch(x_BCL), x_BCL), branch


@pytest.mark.parametrize("length", [24, 25, 50])
def test_down_and_up_again_is_where_it_was(length: int) -> None:
    """A bump comes back at its place, whatever the length is; a shift of one would be a token of half a millisecond."""
    down, up = Downsample(1, 1), Upsample(1, 1)
    nn.init.constant_(down.convolve.weight, 0.25)
    with torch.no_grad():
        up.convolve.weight.copy_(torch.tensor([[[0.25, 0.5, 0.25]]]))
        for layer in (down.convolve, up.convolve):
            assert layer.bias is not None
            layer.bias.zero_()
    where_L = torch.arange(length)
    bump_BCL = torch.exp(-0.5 * ((where_L - 10.0) / 3) ** 2).reshape(1, 1, -1)
    back_L = up(down(bump_BCL), length).squeeze()
    assert len(back_L) == length
    assert (back_L @ where_L.float() / back_L.sum()).item() == pytest.approx(10.0, abs=0.3)


def test_the_bottleneck_joins_all_of_a_recording() -> None:
    """Global context alone: what happens at the first token is known at the last."""
    network = trained(unet(s4=False))
    x_BCL = torch.randn(1, 32, 12)
    changed_BCL = x_BCL.clone()
    changed_BCL[..., 0] += 3
    assert (network.bottleneck(changed_BCL) - network.bottleneck(x_BCL))[..., -1].abs().max() > 1e-3
    bare = trained(unet(s4=False, global_context=False))
    assert torch.equal(bare.bottleneck(changed_BCL)[..., -1], bare.bottleneck(x_BCL)[..., -1])


@pytest.mark.parametrize("part", ["s4", "attention", "convolution"])
def test_a_shut_part_gets_no_gradient_and_is_not_computed(part: Part) -> None:
    network = trained(unet())
    open_BCL = made(network, signal()).fine_BCL
    for gate in gates_of(parts_of(network))[part]:
        gate.open = 0.0
    shut = made(network, signal())
    assert not torch.equal(shut.fine_BCL, open_BCL)
    shut.fine_BCL.sum().backward()
    inner = {"s4": "s4d", "attention": "attention", "convolution": "near"}[part]
    gradients = [parameter.grad for name, parameter in network.named_parameters() if f".{inner}." in name]
    assert gradients
    assert all(gradient is None for gradient in gradients)
