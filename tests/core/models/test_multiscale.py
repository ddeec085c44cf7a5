import pytest
import torch

from core.models.multiscale import KERNELS, ByScale, MultiScale


def test_each_branch_sees_exactly_its_kernel() -> None:
    torch.manual_seed(0)
    scales = MultiScale(8)
    x_BCL = torch.zeros(1, 8, 31)
    x_BCL[..., 15] = 1.0
    for kernel, branch in zip(KERNELS, scales.scales, strict=True):
        reached = (branch(x_BCL) - branch(torch.zeros_like(x_BCL))).abs().sum((0, 1)).nonzero().squeeze(1)
        assert reached.tolist() == list(range(15 - kernel // 2, 15 + kernel // 2 + 1))


def test_weights_are_a_softmax_over_the_scales() -> None:
    torch.manual_seed(0)
    scales = MultiScale(8)
    one, two = torch.randn(2, 3, 8, 31)
    weight_BS = scales.weights(one)
    assert weight_BS.shape == (3, 4)
    torch.testing.assert_close(weight_BS.sum(1), torch.ones(3))
    assert (weight_BS > 0).all()
    assert (weight_BS - scales.weights(5 * two)).abs().max() > 0.01


def test_weights_say_what_a_scale_counts() -> None:
    """All weight on the third of four scales: its channels count four times, the others not at all."""
    torch.manual_seed(0)
    scales = MultiScale(8)
    with torch.no_grad():
        scales.choose.weight.zero_()
        scales.choose.bias.copy_(torch.tensor([0.0, 0.0, 200.0, 0.0]))
        scales.bias_C.zero_()
    x_BCL = torch.randn(2, 8, 31)
    found_BCL = scales(x_BCL)
    torch.testing.assert_close(found_BCL[:, 4:6], 4 * scales.scales[2](x_BCL))
    assert not found_BCL[:, :4].any()
    assert not found_BCL[:, 6:].any()


@pytest.mark.parametrize("kind", [MultiScale, ByScale])
def test_even_kernels_are_refused(kind: type[MultiScale] | type[ByScale]) -> None:
    with pytest.raises(ValueError, match=r"kernels must be odd to keep their place in time, not \(1, 4\)"):
        kind(8, (1, 4))
    with pytest.raises(ValueError, match="10 channels do not divide into 4 scales"):
        kind(10)
