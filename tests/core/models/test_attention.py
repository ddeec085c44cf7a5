import math

import pytest
import torch

from core.models.attention import Attention, positions


def attention(channels: int = 8, memory: int = 6, heads: int = 2) -> Attention:
    torch.manual_seed(0)
    return Attention(channels, memory, heads).double()


def test_attention_is_torchs_own() -> None:
    ours = attention(8, 8)
    theirs = torch.nn.MultiheadAttention(8, 2, batch_first=True, dtype=torch.float64)
    with torch.no_grad():
        rows = [ours.query, ours.key, ours.value]
        theirs.in_proj_weight.copy_(torch.cat([row.weight for row in rows]))
        theirs.in_proj_bias.copy_(torch.cat([row.bias for row in rows]))
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
            layer.bias.zero_()
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
    fine, coarse = positions(100, 12, stride=2.0), positions(25, 12, stride=8.0)
    torch.testing.assert_close(fine[::4], coarse, atol=1e-4, rtol=0)
    assert torch.cdist(fine, fine).add(torch.eye(100)).min() > 0.05


def test_channels_divide_into_heads() -> None:
    with pytest.raises(ValueError, match="10 channels do not divide into 4 heads"):
        Attention(10, 10, 4)
