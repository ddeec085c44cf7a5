from typing import get_args

import pytest
import torch
from torch import nn

from core.models.skips import SKIPS, AttentionSkip, GateSkip
from core.tasks.abr_unet_options import Skip


def test_the_table_is_total() -> None:
    assert set(SKIPS) == set(get_args(Skip))


@pytest.mark.parametrize("skip", ["concat", "gate", "cross_attention"])
@pytest.mark.parametrize("at", [0, 37, 99])
def test_an_impulse_in_the_skip_comes_out_where_it_went_in(skip: Skip, at: int) -> None:
    """However much attention spreads, the aligned path carries most of it to its own place."""
    torch.manual_seed(0)
    fusion = SKIPS[skip](8, 2, 0.0).double().eval()
    if isinstance(fusion, AttentionSkip):
        nn.init.normal_(fusion.ask.attention.out.weight)
    x_BCL, skip_BCL = torch.randn(1, 8, 100).double(), torch.randn(1, 8, 100).double()
    changed_BCL = skip_BCL.clone()
    changed_BCL[..., at] += 3.0
    response_L = (fusion(x_BCL, changed_BCL, 2) - fusion(x_BCL, skip_BCL, 2)).abs().sum((0, 1))
    assert abs(int(response_L.argmax()) - at) <= 1
    elsewhere = torch.cat([response_L[: max(0, at - 1)], response_L[at + 2 :]])
    assert response_L[at] > 5 * elsewhere.max()


def test_the_decoders_features_ask_and_the_skip_answers() -> None:
    """A skip that is the same at every moment has one answer to give; whoever asks keeps what they were."""
    torch.manual_seed(0)
    fusion = SKIPS["cross_attention"](8, 2, 0.0).double().eval()
    assert isinstance(fusion, AttentionSkip)
    nn.init.normal_(fusion.ask.attention.out.weight)
    with torch.no_grad():
        fusion.concat.join.weight.copy_(torch.eye(8, 16).unsqueeze(-1))
    x_BCL, skip_BC1 = torch.randn(2, 8, 100).double(), torch.randn(2, 8, 1).double()
    answer_BCL = fusion(x_BCL, skip_BC1.expand(-1, -1, 100), 2) - x_BCL
    torch.testing.assert_close(answer_BCL, answer_BCL[..., :1].expand_as(answer_BCL))
    other_BCL = fusion(x_BCL, skip_BC1.flip(1).expand(-1, -1, 100), 2) - x_BCL
    assert (answer_BCL - other_BCL).abs().max() > 0.1


def test_a_gate_weighs_moments() -> None:
    """Shut at every moment, the skip does not count; open, it is concatenation."""
    torch.manual_seed(0)
    fusion = SKIPS["gate"](4, 1, 0.0)
    assert isinstance(fusion, GateSkip)
    assert fusion.weigh.bias is not None
    x_BCL, one_BCL, two_BCL = torch.randn(3, 1, 4, 20)
    nn.init.constant_(fusion.weigh.bias, -100.0)
    assert torch.equal(fusion(x_BCL, one_BCL, 1), fusion(x_BCL, two_BCL, 1))
    nn.init.constant_(fusion.weigh.bias, 100.0)
    torch.testing.assert_close(fusion(x_BCL, one_BCL, 1), fusion.concat(x_BCL, one_BCL, 1))
