import math

import pytest
import torch

from core.models.encoder import LEVELS, Block, FiLM, Standardise, Stem, levels
from core.models.features import SUMMARY, summary
from core.models.s4d import S4D


def test_film_is_the_identity_at_the_start() -> None:
    x_BDL = torch.randn(3, 8, 10)
    assert torch.equal(FiLM(4, 8)(x_BDL, torch.randn(3, 4)), x_BDL)


def test_film_is_affine_in_the_signal_and_depends_on_the_condition() -> None:
    film = FiLM(4, 8).double()
    torch.nn.init.normal_(film.affine.weight)
    torch.nn.init.normal_(film.affine.bias)
    condition_BE = torch.randn(3, 4, dtype=torch.float64)
    one, two = torch.randn(2, 3, 8, 10, dtype=torch.float64)
    middle = film((one + two) / 2, condition_BE)
    torch.testing.assert_close(middle, (film(one, condition_BE) + film(two, condition_BE)) / 2)
    assert (film(one, condition_BE) - film(one, condition_BE + 1)).abs().max() > 0.1


def test_film_learns_an_amplitude_from_the_condition() -> None:
    random = torch.Generator().manual_seed(0)
    wave_L = torch.sin(torch.arange(20) / 3)
    amplitude_B = torch.rand(64, generator=random) * 2
    film = FiLM(1, 1)
    optimiser = torch.optim.Adam(film.parameters(), lr=0.05)
    for _ in range(200):
        made_BDL = film(wave_L.expand(64, 1, 20), amplitude_B.unsqueeze(1))
        loss = (made_BDL.squeeze(1) - amplitude_B.unsqueeze(1) * wave_L).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    reached_B = (made_BDL.detach().squeeze(1) @ wave_L) / wave_L.square().sum()
    assert torch.corrcoef(torch.stack([reached_B, amplitude_B]))[0, 1] > 0.9


def test_standardise_by_hand() -> None:
    # Columns: age (compressed), intensity. Age e - 1 becomes 1, and with mean 0.5, sd 0.25: 2.
    standardise = Standardise((0, 1), (0.5, 40.0, 30.0, 1.0), (0.25, 20.0, 4.0, 1.0))
    made = standardise(torch.tensor([[math.e - 1, 60.0, 33.0, 9.0], [math.nan, 20.0, math.nan, math.nan]]))
    torch.testing.assert_close(made, torch.tensor([[2.0, 1.0, 1.0, 1.0], [0.0, -1.0, 0.0, 1.0]]))


def test_unknown_parameters_send_no_nan_gradient() -> None:
    static_BS = torch.tensor([[math.nan, 20.0, 30.0, 1.0]], requires_grad=True)
    Standardise((0, 1), (0.5, 40.0, 30.0, 1.0), (0.25, 20.0, 4.0, 1.0))(static_BS).sum().backward()
    assert static_BS.grad is not None
    assert static_BS.grad.isfinite().all()


def test_stem_kernels_must_be_odd() -> None:
    with pytest.raises(ValueError, match=r"must be odd to keep their place in time, not \(7, 20\)"):
        Stem((7, 20), 8, 16)


@pytest.mark.parametrize("position", [40, 96, 160])
def test_an_impulse_comes_out_of_the_stem_where_it_went_in(position: int) -> None:
    torch.manual_seed(0)
    stem = Stem((7, 21), 8, 16)
    x_BCT = torch.zeros(1, 1, 208)
    silent_fine, silent_tokens = stem(x_BCT)
    x_BCT[0, 0, position] = 1.0
    fine, tokens = stem(x_BCT)
    for features, silent, stride, reach in ((fine, silent_fine, 2, 10), (tokens, silent_tokens, 8, 18)):
        touched = (features - silent).abs().sum((0, 1)).nonzero().squeeze(1) * stride
        assert touched.min() >= position - reach - stride
        assert touched.max() <= position + reach
        assert touched.min() <= position <= touched.max() + stride


def test_block_uses_its_state_space_layer_both_ways() -> None:
    torch.manual_seed(0)
    block = Block(8, 4, 4, 0.0)
    assert any(isinstance(module, S4D) and module.future is not None for module in block.modules())
    x_BDL, condition_BE = torch.randn(1, 8, 25), torch.randn(1, 4)
    changed_BDL = x_BDL.clone()
    changed_BDL[..., 12] += 1
    reach_L = (block(changed_BDL, condition_BE) - block(x_BDL, condition_BE)).abs().sum((0, 1))
    assert reach_L[5] > 1e-5
    assert reach_L[20] > 1e-5


def test_summary_by_hand() -> None:
    # One channel of 16 tokens, 0 to 15: eighths hold pairs.
    made = summary(torch.arange(16.0).reshape(1, 1, 16))
    assert made.tolist() == [[7.5, 15.0, *(0.5 + 2 * segment for segment in range(8))]]
    assert made.shape[1] == SUMMARY


def test_levels_tell_the_size_of_a_recording() -> None:
    # A recording ten times as large has logs larger by log 10; silence stays finite.
    x_BT = torch.randn(1, 200, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(
        levels(10 * x_BT) - levels(x_BT), torch.full((1, LEVELS), math.log(10)), rtol=0, atol=0.01
    )
    assert levels(torch.zeros(1, 200)).isfinite().all()
