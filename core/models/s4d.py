"""S4D: a diagonal state-space layer, trained as a convolution, equal to a recurrence.

    x' = A x + B u,  y = 2 Re(C x) + D u,   A = -exp(a) + i b diagonal, B = 1

Gu et al. 2022 (2206.11893), S4 in 2111.00396. States come in conjugate pairs of which one is kept: hence the factor 2.
"""

# B recordings, H channels, N state pairs, L steps, Q points of the FFT.

from __future__ import annotations

import math
from functools import lru_cache
from typing import Final

import torch
from scipy.fft import next_fast_len
from torch import Tensor, nn

LR_CAP: Final = 1e-3
"""Largest learning rate for the state-space parameters: faster ones make the kernel forget its time scales."""


@lru_cache
def fft_points(length: int) -> int:
    """Points of an FFT in which two sequences of `length` do not wrap around; 400 is five times faster than 399."""
    return int(next_fast_len(2 * length, real=True))


class Kernel(nn.Module):
    """The impulse responses of H independent systems, discretised by zero-order hold.

        C' = C (exp(dt A) - 1) / A,   K_l = 2 Re sum_n C'_n exp(dt A_n l)

    Real arithmetic throughout: it is faster than complex, and can be compiled.
    """

    def __init__(self, channels: int, states: int, dt_min: float, dt_max: float) -> None:
        super().__init__()
        spread_H = torch.rand(channels) * (math.log(dt_max) - math.log(dt_min))
        self.log_dt_H = nn.Parameter(spread_H + math.log(dt_min))
        self.log_decay_HN = nn.Parameter(torch.full((channels, states), math.log(0.5)))
        self.frequency_HN = nn.Parameter(math.pi * torch.arange(states).float().repeat(channels, 1))
        self.real_HN = nn.Parameter(torch.randn(channels, states) * math.sqrt(0.5))
        self.imag_HN = nn.Parameter(torch.randn(channels, states) * math.sqrt(0.5))

    def step(self) -> tuple[Tensor, Tensor]:
        """Real and imaginary part of dt A, (H, N); the real part is negative whatever the parameters are."""
        dt_H1 = self.log_dt_H.exp().unsqueeze(-1)
        return -self.log_decay_HN.exp() * dt_H1, self.frequency_HN * dt_H1

    def readout(self) -> tuple[Tensor, Tensor]:
        """Real and imaginary part of C', (H, N)."""
        decay_HN, angle_HN = self.step()
        size_HN = decay_HN.exp()
        over_re_HN, over_im_HN = size_HN * angle_HN.cos() - 1, size_HN * angle_HN.sin()
        re_HN, im_HN = -self.log_decay_HN.exp(), self.frequency_HN
        norm_HN = re_HN.square() + im_HN.square()
        hold_re_HN = (over_re_HN * re_HN + over_im_HN * im_HN) / norm_HN
        hold_im_HN = (over_im_HN * re_HN - over_re_HN * im_HN) / norm_HN
        return (
            self.real_HN * hold_re_HN - self.imag_HN * hold_im_HN,
            self.real_HN * hold_im_HN + self.imag_HN * hold_re_HN,
        )

    def forward(self, length: int) -> Tensor:
        """The first `length` samples of the impulse responses, (H, L)."""
        decay_HN, angle_HN = self.step()
        re_HN, im_HN = self.readout()
        steps_L = torch.arange(length, device=decay_HN.device, dtype=decay_HN.dtype)
        size_HNL = (decay_HN.unsqueeze(-1) * steps_L).exp()
        turn_HNL = angle_HN.unsqueeze(-1) * steps_L
        wave_HNL = re_HN.unsqueeze(-1) * turn_HNL.cos() - im_HN.unsqueeze(-1) * turn_HNL.sin()
        return 2 * (size_HNL * wave_HNL).sum(1)

    def recurrent(self, u_BHL: Tensor) -> Tensor:
        """The same filter as a recurrence, one step at a time: x_k = exp(dt A) x_(k-1) + u_k, y_k = 2 Re(C' x_k)."""
        advance_HN = torch.complex(*self.step()).exp()
        readout_HN = torch.complex(*self.readout())
        state_BHN = torch.zeros(*u_BHL.shape[:2], advance_HN.shape[-1], dtype=advance_HN.dtype, device=u_BHL.device)
        outputs = []
        for u_BH in u_BHL.unbind(-1):
            state_BHN = advance_HN * state_BHN + u_BH.unsqueeze(-1)
            outputs.append(2 * (readout_HN * state_BHN).sum(-1).real)
        return torch.stack(outputs, -1)


class S4D(nn.Module):
    """Convolution of each channel with its own state-space kernel, plus a direct path D u.

    Causal, or with a second kernel for the samples that follow (bidirectional: whole recordings are at hand).
    """

    def __init__(
        self, channels: int, states: int, *, bidirectional: bool, dt_min: float = 1e-3, dt_max: float = 1e-1
    ) -> None:
        super().__init__()
        self.past = Kernel(channels, states, dt_min, dt_max)
        self.future = Kernel(channels, states, dt_min, dt_max) if bidirectional else None
        self.direct_H = nn.Parameter(torch.randn(channels))

    def forward(self, u_BHL: Tensor) -> Tensor:
        """Filtered sequences, (B, H, L) -> (B, H, L)."""
        u_BHL = u_BHL.float()  # there is no Fourier transform of bfloat16
        length = u_BHL.shape[-1]
        points = fft_points(length)
        kernel_HQ = nn.functional.pad(self.past(length), (0, points - length))
        if self.future is not None:
            # Lag -1 is the last point of the circle, lag -L the one L before its end.
            kernel_HQ = kernel_HQ + nn.functional.pad(self.future(length).flip(-1), (points - length, 0))
        y_BHQ = torch.fft.irfft(torch.fft.rfft(u_BHL, n=points) * torch.fft.rfft(kernel_HQ), n=points)
        y_BHL: Tensor = y_BHQ[..., :length] + self.direct_H.unsqueeze(-1) * u_BHL
        return y_BHL

    def recurrent(self, u_BHL: Tensor) -> Tensor:
        """What `forward` computes, as recurrences over the past and, shifted by one, over the future."""
        y_BHL = self.past.recurrent(u_BHL) + self.direct_H.unsqueeze(-1) * u_BHL
        if self.future is not None:
            ahead_BHL = self.future.recurrent(u_BHL.flip(-1)).flip(-1)
            y_BHL = y_BHL + nn.functional.pad(ahead_BHL[..., 1:], (0, 1))
        return y_BHL
