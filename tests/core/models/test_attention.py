import math

import pytest
import torch

from core.models.attention import Ask, Attention, Transformer, positions


def attention(channels: int = 8, memory: int = 6, heads: int = 2) -> Attention:
    """Attention that says something, as after some training."""
    torch.manual_seed(0)
    made = Attention(channels, memory, heads).double()
    torch.nn.init.normal_(made.out.weight)
    return made


def test_attention_is_torchs_own() -> None:
    ours = attention(8, 8)
    theirs = torch.nn.MultiheadAttention(8, 2, batch_first=True, dtype=torch.float64)
    with torch.no_grad():
        rows = [ours.query, ours.key, ours.value]
        theirs.in_proj_weight.copy_(torch.cat([row.weight for row in rows]))
        theirs.in_proj_bias.copy_(torch.cat([ours.query.bias, torch.zeros(8), ours.value.bias]))
        theirs.out_proj.load_state_dict(ours.out.state_dict())
    query, key, value = (torch.randn(3, length, 8, dtype=torch.float64) for length in (5, 7, 7))
    torch.testing.assert_close(ours(query, key, value), theirs(query, key, value, need_weights=False)[0])


def test_queries_and_memory_are_not_interchangeable() -> None:
    """As many outputs as queries; swapping the two would give as many as places in memory, of other content."""
    look = attention(8, 8)
    x, memory = torch.randn(2, 5, 8, dtype=torch.float64), torch.randn(2, 7, 8, dtype=torch.float64)
    assert look(x, memory, memory).shape == (2, 5, 8)
    assert not torch.allclose(look(x, memory[:, :5], memory[:, :5]), look(memory[:, :5], x, x))
    narrow = attention(8, 6)
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        narrow(torch.randn(2, 5, 6, dtype=torch.float64), x, x)


def test_entropy_is_kept_only_while_it_is_watched() -> None:
    look = attention()
    x, memory = torch.randn(2, 5, 8, dtype=torch.float64), torch.randn(2, 7, 6, dtype=torch.float64)
    plain = look(x, memory, memory)
    assert look.entropy is None
    look.watched = True
    assert torch.equal(look(x, memory, memory), plain)
    assert look.entropy is not None
    assert not look.entropy.requires_grad
    assert 0 < look.entropy.item() < 1


def test_entropy_by_hand() -> None:
    look = attention(2, 2, heads=1)
    look.watched = True
    with torch.no_grad():
        for layer in (look.query, look.key):
            layer.weight.copy_(torch.eye(2))
        look.query.bias.zero_()
    query = torch.tensor([[[1.0, 0.0]]], dtype=torch.float64)
    # Scores 0 and sqrt(2) log(3) / sqrt(2) = log 3: weights 1/4 and 3/4.
    memory = torch.tensor([[[0.0, 0.0], [math.sqrt(2) * math.log(3), 0.0]]], dtype=torch.float64)
    look(query, memory, memory)
    expected = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75)) / math.log(2)
    assert look.entropy is not None
    assert look.entropy.item() == pytest.approx(expected, abs=1e-6)
    look(torch.zeros_like(query), memory, memory)
    assert look.entropy.item() == pytest.approx(1.0)


def test_positions_of_equal_times_are_equal_whatever_the_stride() -> None:
    """A token of three of two samples stands where the second of the three does."""
    fine, coarse = positions(torch.zeros(1, 99, 12), 2), positions(torch.zeros(1, 33, 12), 6)
    torch.testing.assert_close(fine[1::3], coarse, atol=1e-4, rtol=0)
    assert torch.cdist(fine, fine).add(torch.eye(99)).min() > 0.05


def test_channels_divide_into_heads() -> None:
    with pytest.raises(ValueError, match="10 channels do not divide into 4 heads"):
        Attention(10, 10, 4)


def asking(memory_channels: int | None = 6, **options) -> Ask:
    torch.manual_seed(0)
    ask = Ask(8, memory_channels, 2, 0.0, **options).double().eval()
    torch.nn.init.normal_(ask.attention.out.weight)
    return ask


def test_what_is_asked_changes_the_answer_and_hears_of_it() -> None:
    ask = asking()
    x_BDL, memory_BDM = torch.randn(2, 8, 50).double(), torch.randn(2, 6, 12).double().requires_grad_()
    answer = ask(x_BDL, memory_BDM, 4, 16)
    assert not torch.allclose(answer, ask(x_BDL, torch.randn(2, 6, 12).double(), 4, 16))
    answer.sum().backward()
    assert memory_BDM.grad is not None
    assert (memory_BDM.grad.abs().amax((0, 1)) > 0).all()


def test_it_matters_when_something_was() -> None:
    """Attention alone does not see the order of its memory; with positions it does."""
    x, memory = torch.randn(2, 5, 8).double(), torch.randn(2, 7, 6).double()
    order = torch.tensor([3, 1, 0, 2, 6, 5, 4])
    bare = attention()
    torch.testing.assert_close(bare(x, memory, memory), bare(x, memory[:, order], memory[:, order]))
    ask, x_BDL, memory_BDM = asking(), x.transpose(1, 2), memory.transpose(1, 2)
    told, shuffled = ask(x_BDL, memory_BDM, 4, 16), ask(x_BDL, memory_BDM[..., order], 4, 16)
    assert (told - shuffled).abs().max() > 1e-3


def test_the_memory_is_key_and_value_and_the_features_ask() -> None:
    """A memory of equal tokens has one value to give: whatever is asked, the answer is that value's."""
    ask = asking()
    equal_BDM = torch.randn(2, 6, 1).double().expand(2, 6, 12)
    x_BDL = torch.randn(2, 8, 50).double()
    found_BDL = ask(x_BDL, equal_BDM, 4, 16) - x_BDL
    torch.testing.assert_close(found_BDL, found_BDL[..., :1].expand_as(found_BDL))
    assert found_BDL.abs().max() > 1e-3


def test_heads_see_several_scales() -> None:
    """A change of one token reaches seven keys and values, but through a quarter of the channels only one."""
    look = attention(8, 8, 2)
    scaled = Attention(8, 8, 2, by_scale=True).double()
    assert scaled.key_scales is not None
    x_BLC = torch.zeros(1, 15, 8, dtype=torch.float64)
    x_BLC[0, 7] = 1.0
    reach = (scaled.key_scales(x_BLC)[0] != 0).sum(0)
    assert reach.tolist() == [1, 1, 3, 3, 5, 5, 7, 7]
    assert look.key_scales is None


def test_a_transformer_begins_as_nothing() -> None:
    transformer = Transformer(8, 2, 0.0, own=True, by_scale=True, memory_channels=6)
    x_BDL = torch.randn(2, 8, 50)
    assert torch.equal(transformer(x_BDL, 4, torch.randn(2, 6, 12), 16), x_BDL)
