"""Diffusion as pure functions: noise schedules, what a network predicts, one step back, a whole way back.

Ho et al. 2020 (2006.11239), Song et al. 2021 (2010.02502). `keep` is the share of the signal's power that is left at a
step, alpha-bar in the papers: x_t = sqrt(keep) x_0 + sqrt(1 - keep) noise. Step 0 is the signal itself (keep 1), step S
the last one. Data should have about unit spread; nothing is clipped, so they may have any range.
"""

# B recordings, S steps; ... stands for whatever shape a recording has.

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import torch
from torch import Tensor

from core.diffusion_names import Prediction, Sampler, ScheduleName

LINEAR_BETAS: Final = (1e-4, 0.02)
"""First and last share of noise added per step, of 1,000 steps (2006.11239)."""
LINEAR_STEPS: Final = 1000
COSINE_OFFSET: Final = 0.008
"""Keeps the first steps of the cosine schedule from adding too little (2102.09672)."""
NOISE_FLOOR: Final = 0.02
"""sqrt(keep) at the last step where noise is predicted: with 0 the noise says nothing of the signal."""


@dataclass(frozen=True, slots=True, eq=False)
class NoiseSchedule:
    """How much of the signal is left at each step."""

    keep_S: Tensor
    """(S + 1,) float64, from 1 downwards."""

    @property
    def steps(self) -> int:
        """S, the number of the last step."""
        return len(self.keep_S) - 1

    def keep(self, step_B: Tensor, like: Tensor) -> Tensor:
        """(B, 1, ...) float64 share at integer steps (B,), shaped to go with `like` (B, ...)."""
        keep_B = self.keep_S.to(like.device)[step_B]
        return keep_B.reshape(-1, *[1] * (like.ndim - 1))

    def snr(self) -> Tensor:
        """(S,) signal-to-noise ratio of the steps 1 to S."""
        return self.keep_S[1:] / (1 - self.keep_S[1:])


def linear(steps: int) -> Tensor:
    """(steps,) keep of betas that rise linearly, 2006.11239.

    The betas are for 1,000 steps; with fewer each is larger in proportion, so that the last step is as noisy. A beta of
    .999 is the most there is.
    """
    low, high = (beta * LINEAR_STEPS / steps for beta in LINEAR_BETAS)
    beta_S = torch.linspace(low, high, steps, dtype=torch.float64).clamp(max=0.999)
    return (1 - beta_S).log().cumsum(0).exp()


def cosine(steps: int) -> Tensor:
    """(steps,) keep f(t) / f(0) with f(t) = cos^2(pi / 2 (t / steps + s) / (1 + s)), 2102.09672."""
    time_S = torch.arange(steps + 1, dtype=torch.float64) / steps
    kept_S = ((time_S + COSINE_OFFSET) / (1 + COSINE_OFFSET) * math.pi / 2).cos().square()
    return kept_S[1:] / kept_S[0]


SCHEDULES: Final[Mapping[ScheduleName, Callable[[int], Tensor]]] = {"cosine": cosine, "linear": linear}


def noise_schedule(name: ScheduleName, steps: int, *, terminal: float = 0.0) -> NoiseSchedule:
    """The schedule whose sqrt(keep) is stretched to end at `terminal`, 2305.08891 (0 there: zero terminal SNR).

        s' = terminal + (s - s_S) (s_1 - terminal) / (s_1 - s_S),   s = sqrt(keep)

    Otherwise generation would begin with noise that the network has never been shown without a rest of signal.
    """
    if steps < 2:
        raise ValueError(f"a schedule has at least 2 steps, not {steps}")
    root_S = SCHEDULES[name](steps).sqrt()
    first, last = root_S[0], root_S[-1]
    root_S = terminal + (root_S - last) * (first - terminal) / (first - last)
    return NoiseSchedule(torch.cat([root_S.new_ones(1), root_S.square()]))


def amounts(keep: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
    """sqrt(keep) and sqrt(1 - keep); the difference is taken before the precision of `like` is."""
    return keep.sqrt().to(like.dtype), (1 - keep).sqrt().to(like.dtype)


def noised(clean: Tensor, noise: Tensor, keep: Tensor) -> Tensor:
    """x_t = sqrt(keep) x_0 + sqrt(1 - keep) noise."""
    signal_part, noise_part = amounts(keep, clean)
    return signal_part * clean + noise_part * noise


def velocity(clean: Tensor, noise: Tensor, keep: Tensor) -> Tensor:
    """Target of v-prediction, sqrt(keep) noise - sqrt(1 - keep) x_0, 2202.00512: the noise at first, -x_0 at last."""
    signal_part, noise_part = amounts(keep, clean)
    return signal_part * noise - noise_part * clean


def target(predicts: Prediction, clean: Tensor, noise: Tensor, keep: Tensor) -> Tensor:
    """What the network should say of x_t."""
    return noise if predicts == "noise" else velocity(clean, noise, keep)


def parts(predicts: Prediction, said: Tensor, noisy: Tensor, keep: Tensor) -> tuple[Tensor, Tensor]:
    """x_0 and noise that a network means which says `said` of x_t.

    From the noise, x_0 = (x_t - sqrt(1 - keep) noise) / sqrt(keep), which needs some signal to be left.
    """
    signal_part, noise_part = amounts(keep, noisy)
    if predicts == "noise":
        return (noisy - noise_part * said) / signal_part, said
    return signal_part * noisy - noise_part * said, noise_part * noisy + signal_part * said


def terminal_for(predicts: Prediction) -> float:
    """sqrt(keep) a schedule should end at."""
    return NOISE_FLOOR if predicts == "noise" else 0.0


def guided(conditional: Tensor, unconditional: Tensor, scale: float) -> Tensor:
    """Classifier-free guidance, 2207.12598: unconditional + scale (conditional - unconditional).

    A scale of 1 is the conditional prediction and 0 the unconditional one, to the bit; above 1 exaggerates.
    """
    return torch.lerp(unconditional, conditional, scale)


def ddim_step(clean: Tensor, noise: Tensor, keep: Tensor, keep_after: Tensor, *, eta: float, fresh: Tensor) -> Tensor:
    """The earlier step with share `keep_after`, 2010.02502 eq. 12; `fresh` is standard noise of its shape.

        x_s = sqrt(a_s) x_0 + sqrt(1 - a_s - sd^2) noise + sd fresh,
        sd = eta sqrt((1 - a_s) / (1 - a_t)) sqrt(1 - a_t / a_s)

    eta 0 adds nothing fresh, so that the start decides everything; eta 1 is the step of DDPM.
    """
    variance = eta**2 * (1 - keep_after) / (1 - keep) * (1 - keep / keep_after)
    signal_part, direction = keep_after.sqrt(), (1 - keep_after - variance).clamp_min(0).sqrt()
    stepped = signal_part.to(clean.dtype) * clean + direction.to(clean.dtype) * noise
    return stepped if eta == 0 else stepped + variance.sqrt().to(clean.dtype) * fresh


def ddpm_step(clean: Tensor, noisy: Tensor, keep: Tensor, keep_after: Tensor, *, fresh: Tensor) -> Tensor:
    """The earlier step, drawn from the posterior given x_t and x_0, 2006.11239 eq. 6 and 7.

    mean = sqrt(a_s) (1 - a_ts) / (1 - a_t) x_0 + sqrt(a_ts) (1 - a_s) / (1 - a_t) x_t,   a_ts = a_t / a_s
    variance = (1 - a_s) (1 - a_ts) / (1 - a_t)
    """
    across = keep / keep_after
    from_clean = keep_after.sqrt() * (1 - across) / (1 - keep)
    from_noisy = across.sqrt() * (1 - keep_after) / (1 - keep)
    sd = ((1 - keep_after) * (1 - across) / (1 - keep)).sqrt()
    dtype = clean.dtype
    return from_clean.to(dtype) * clean + from_noisy.to(dtype) * noisy + sd.to(dtype) * fresh


Say = Callable[[Tensor, Tensor], Tensor]
"""x_t (B, ...) and its step (B,) -> what the network says of it."""


def way_back(last: int, count: int) -> list[int]:
    """`count` + 1 steps from `last` down to 0, evenly; the last step is among them, 2305.08891."""
    if not 1 <= count <= last:
        raise ValueError(f"{last} steps can be gone back in 1 to {last} strides, not {count}")
    return [round(last * (count - stride) / count) for stride in range(count + 1)]


def sample(
    say: Say,
    start: Tensor,
    schedule: NoiseSchedule,
    *,
    predicts: Prediction,
    count: int,
    sampler: Sampler = "ddim",
    eta: float = 0.0,
    temperature: float = 1.0,
    generator: torch.Generator | None = None,
) -> Tensor:
    """From `start` (B, ...), standard noise times `temperature`, to x_0 in `count` strides.

    With DDIM and eta 0 nothing is drawn. `temperature` scales what is drawn on the way as well.
    """
    noisy, steps = start, way_back(schedule.steps, count)
    draws = sampler == "ddpm" or eta > 0
    for step, after in pairwise(steps):
        step_B = torch.full((len(start),), step, dtype=torch.int64, device=start.device)
        keep, keep_after = schedule.keep(step_B, noisy), schedule.keep(torch.full_like(step_B, after), noisy)
        clean, noise = parts(predicts, say(noisy, step_B), noisy, keep)
        fresh = torch.zeros_like(noisy)
        if draws:
            fresh = temperature * torch.randn(noisy.shape, dtype=noisy.dtype, device=noisy.device, generator=generator)
        if sampler == "ddpm":
            noisy = ddpm_step(clean, noisy, keep, keep_after, fresh=fresh)
        else:
            noisy = ddim_step(clean, noise, keep, keep_after, eta=eta, fresh=fresh)
    return noisy
