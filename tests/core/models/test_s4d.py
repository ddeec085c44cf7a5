import math

import numpy as np
import pytest
import torch
from scipy.signal import cont2discrete, lfilter
from torch import Tensor

from core.models.s4d import S4D, Kernel, fft_points


@pytest.fixture
def sequence() -> Tensor:
    return torch.randn(3, 4, 200, generator=torch.Generator().manual_seed(1))


@pytest.fixture(params=[False, True], ids=["causal", "bidirectional"])
def layer(request: pytest.FixtureRequest) -> S4D:
    torch.manual_seed(0)
    return S4D(4, 8, bidirectional=request.param)


def test_convolution_equals_recurrence(layer: S4D, sequence: Tensor) -> None:
    torch.testing.assert_close(layer(sequence), layer.recurrent(sequence), rtol=0, atol=1e-4)


def zero_order_hold(kernel: Kernel, channel: int, length: int) -> np.ndarray:
    """The impulse response by scipy: every conjugate pair written as a real system of two states."""
    dt = float(kernel.log_dt_H[channel].exp())
    response = np.zeros(length)
    impulse = np.eye(1, length)[0]
    for pair in range(kernel.real_HN.shape[1]):
        decay = float(kernel.log_decay_HN[channel, pair].exp())
        turn = float(kernel.frequency_HN[channel, pair])
        readout = [2 * float(kernel.real_HN[channel, pair]), -2 * float(kernel.imag_HN[channel, pair])]
        a, b, c, _, _ = cont2discrete(
            (np.array([[-decay, -turn], [turn, -decay]]), np.array([[1.0], [0.0]]), np.array([readout]), [[0.0]]), dt
        )
        # C (z - A)^-1 B times z: the kernel answers an impulse in the same step.
        denominator = [1.0, -np.trace(a), np.linalg.det(a)]
        first, second = (c @ b).item(), (c @ a @ b).item()
        response += lfilter([first, second - np.trace(a) * first], denominator, impulse)
    return response


@torch.no_grad()
def test_kernel_is_the_zero_order_hold_that_scipy_computes() -> None:
    torch.manual_seed(0)
    kernel = Kernel(3, 4, 1e-3, 1e-1).double()
    for channel in range(3):
        np.testing.assert_allclose(kernel(200)[channel].numpy(), zero_order_hold(kernel, channel, 200), atol=1e-6)


@torch.no_grad()
def test_future_samples_leave_the_past_of_the_causal_form_alone(sequence: Tensor) -> None:
    layer = S4D(4, 8, bidirectional=False)
    changed_BHL = sequence.clone()
    changed_BHL[..., 120:] += 5.0
    difference_BHL = (layer(changed_BHL) - layer(sequence)).abs()
    assert difference_BHL[..., :120].max() < 1e-4
    assert difference_BHL[..., 120:].max() > 1e-2


@torch.no_grad()
def test_bidirectional_form_sees_ahead(sequence: Tensor) -> None:
    layer = S4D(4, 8, bidirectional=True)
    changed_BHL = sequence.clone()
    changed_BHL[..., 120:] += 5.0
    assert (layer(changed_BHL) - layer(sequence))[..., :120].abs().max() > 1e-2


def test_kernel_does_not_depend_on_the_length() -> None:
    kernel = Kernel(4, 8, 1e-3, 1e-1)
    torch.testing.assert_close(kernel(400)[:, :200], kernel(200))


def test_states_decay_whatever_the_parameters_are() -> None:
    kernel = Kernel(16, 8, 1e-3, 1e-1)
    with torch.no_grad():
        kernel.log_decay_HN.normal_(std=3)
        kernel.log_dt_H.normal_(mean=-4, std=2)
    assert kernel.step()[0].exp().max() < 1


def test_starts_as_the_paper_says() -> None:
    kernel = Kernel(2000, 4, 1e-3, 1e-1)
    assert torch.allclose(kernel.log_decay_HN.exp(), torch.tensor(0.5))
    assert torch.allclose(kernel.frequency_HN[0], math.pi * torch.arange(4.0))
    dt_H = kernel.log_dt_H.exp()
    assert dt_H.min() >= 1e-3
    assert dt_H.max() <= 1e-1
    # Log-uniform: half of them lie below the geometric mean, 1e-2.
    assert 0.46 < (dt_H < 1e-2).float().mean() < 0.54


@pytest.mark.parametrize(("length", "points"), [(200, 400), (199, 400), (25, 50), (101, 216)])
def test_transform_is_long_enough_and_fast(length: int, points: int) -> None:
    assert fft_points(length) == points
