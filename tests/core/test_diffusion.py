from __future__ import annotations

import math
from typing import get_args

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from core.diffusion import (
    LINEAR_BETAS,
    NOISE_FLOOR,
    SCHEDULES,
    NoiseSchedule,
    ddim_step,
    ddpm_step,
    guided,
    noise_schedule,
    noised,
    parts,
    sample,
    target,
    terminal_for,
    way_back,
)
from core.diffusion_names import Prediction, Sampler, ScheduleName

NAMES = get_args(ScheduleName)
PREDICTIONS = get_args(Prediction)


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def analytic(schedule: NoiseSchedule, predicts: Prediction, mean: float, sd: float):  # type: ignore[no-untyped-def]
    """What a perfect network says of x_t where x_0 ~ N(mean, sd^2)."""

    def say(noisy: Tensor, step_B: Tensor) -> Tensor:
        keep = schedule.keep(step_B, noisy)
        # E[noise | x_t] = sqrt(1 - a) (x - sqrt(a) m) / (a s^2 + 1 - a);  E[x_0 | x_t] from the same Gaussian.
        deviation = (noisy - keep.sqrt() * mean) / (keep * sd**2 + 1 - keep)
        noise = (1 - keep).sqrt() * deviation
        return target(predicts, mean + keep.sqrt() * sd**2 * deviation, noise, keep)

    return say


def test_every_schedule_is_implemented() -> None:
    assert set(SCHEDULES) == set(NAMES)


@pytest.mark.parametrize("steps", [10, 100, 1000])
@pytest.mark.parametrize("name", NAMES)
def test_the_signal_falls_strictly_to_nothing(name: ScheduleName, steps: int) -> None:
    plain = SCHEDULES[name](steps)
    # 100 linear steps with the betas of 1,000 would end at .6.
    assert plain[-1].sqrt() < 0.05
    for terminal in (0.0, NOISE_FLOOR):
        schedule = noise_schedule(name, steps, terminal=terminal)
        assert schedule.keep_S.dtype == torch.float64
        assert schedule.keep_S[0] == 1
        assert schedule.steps == steps
        assert (schedule.snr().diff() < 0).all()
        assert_close(schedule.keep_S[-1].sqrt().item(), terminal, atol=1e-12, rtol=0)
        # The first step stays where it was.
        assert_close(schedule.keep_S[1], plain[0])


def test_a_thousand_linear_steps_are_those_of_the_paper() -> None:
    kept, beta = 1.0, []
    for step in range(1000):
        beta.append(LINEAR_BETAS[0] + (LINEAR_BETAS[1] - LINEAR_BETAS[0]) * step / 999)
        kept *= 1 - beta[-1]
    assert_close(SCHEDULES["linear"](1000)[-1].item(), kept, rtol=1e-9, atol=0)


def test_the_cosine_schedule_is_that_of_the_paper() -> None:
    # Half way: cos^2(pi/2 (.5 + .008) / 1.008) / cos^2(pi/2 .008 / 1.008).
    half = math.cos(math.pi / 2 * 0.508 / 1.008) ** 2 / math.cos(math.pi / 2 * 0.008 / 1.008) ** 2
    assert_close(SCHEDULES["cosine"](100)[49].item(), half, rtol=1e-12, atol=0)


@pytest.mark.parametrize("step", [1, 40, 90, 100])
def test_marginals_are_those_of_the_formula(step: int) -> None:
    schedule, count = noise_schedule("cosine", 100), 200_000
    clean = 0.5 + 2 * normal(count, seed=1)
    keep = schedule.keep_S[step].item()
    noisy = noised(clean, normal(count, seed=2), schedule.keep(torch.full((count,), step), clean))
    variance = keep * 4 + 1 - keep
    assert abs(noisy.mean() - math.sqrt(keep) * 0.5) < 4 * math.sqrt(variance / count)
    assert abs(noisy.var() - variance) < 4 * variance * math.sqrt(2 / count)


@pytest.mark.parametrize("predicts", PREDICTIONS)
def test_what_is_said_gives_signal_and_noise_back(predicts: Prediction) -> None:
    schedule = noise_schedule("cosine", 100, terminal=terminal_for(predicts))
    # From the noise, the signal of the last steps comes back as often enlarged as it had been made smaller.
    step_B = torch.tensor([1, 20, 50, 80, 100] if predicts == "velocity" else [1, 20, 50, 80, 95])
    clean, noise = normal(5, 200, seed=1, dtype=torch.float32), normal(5, 200, seed=2, dtype=torch.float32)
    keep = schedule.keep(step_B, clean)
    noisy = noised(clean, noise, keep)
    found, found_noise = parts(predicts, target(predicts, clean, noise, keep), noisy, keep)
    assert_close(found, clean, atol=1e-5, rtol=1e-5)
    assert_close(found_noise, noise, atol=1e-5, rtol=1e-5)


def test_ddim_with_eta_one_is_ddpm() -> None:
    clean, noise, fresh = (normal(4, 8, seed=seed) for seed in range(3))
    keep, after = torch.tensor(0.3, dtype=torch.float64), torch.tensor(0.7, dtype=torch.float64)
    noisy = noised(clean, noise, keep)
    assert_close(
        ddim_step(clean, noise, keep, after, eta=1.0, fresh=fresh), ddpm_step(clean, noisy, keep, after, fresh=fresh)
    )


@pytest.mark.parametrize(("sampler", "predicts"), [("ddim", "velocity"), ("ddim", "noise"), ("ddpm", "velocity")])
@pytest.mark.parametrize("name", NAMES)
def test_a_perfect_network_gives_mean_and_spread_back(
    name: ScheduleName, sampler: Sampler, predicts: Prediction
) -> None:
    schedule = noise_schedule(name, 1000, terminal=terminal_for(predicts))
    # The posterior that DDPM draws from is too narrow for long strides: it goes every step.
    strides, drawn_at_once = (200, 40_000) if sampler == "ddim" else (1000, 10_000)
    drawn = sample(
        analytic(schedule, predicts, mean=3.0, sd=0.5),
        normal(drawn_at_once, 1),
        schedule,
        predicts=predicts,
        count=strides,
        sampler=sampler,
        generator=torch.Generator().manual_seed(5),
    )
    assert_close(drawn.mean().item(), 3.0, rtol=0.025, atol=0)
    assert_close(drawn.std().item(), 0.5, rtol=0.025, atol=0)


def test_temperature_scales_the_spread_of_a_gaussian() -> None:
    schedule = noise_schedule("cosine", 1000)
    say = analytic(schedule, "velocity", mean=3.0, sd=0.5)
    cool = sample(say, 0.5 * normal(20_000, 1), schedule, predicts="velocity", count=200, temperature=0.5)
    assert_close(cool.std().item(), 0.25, rtol=0.03, atol=0)


def test_ddim_without_eta_draws_nothing() -> None:
    schedule = noise_schedule("cosine", 100)
    say = analytic(schedule, "velocity", mean=0.0, sd=1.0)
    start = normal(8, 50)

    def drawn(eta: float) -> Tensor:
        return sample(say, start, schedule, predicts="velocity", count=20, eta=eta)

    torch.manual_seed(1)
    first, state = drawn(0.0), torch.get_rng_state()
    torch.manual_seed(2)
    assert torch.equal(first, drawn(0.0))
    torch.manual_seed(1)
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.equal(drawn(1.0), drawn(1.0))


def test_guidance_of_one_is_conditional_and_of_none_unconditional() -> None:
    with_it, without = normal(4, 9, seed=1, dtype=torch.float32), normal(4, 9, seed=2, dtype=torch.float32)
    assert torch.equal(guided(with_it, without, 1.0), with_it)
    assert torch.equal(guided(with_it, without, 0.0), without)
    assert_close(guided(with_it, without, 3.0), without + 3 * (with_it - without))


def test_the_way_back_begins_at_the_last_step() -> None:
    assert way_back(100, 4) == [100, 75, 50, 25, 0]
    assert way_back(10, 10) == list(range(10, -1, -1))
    with pytest.raises(ValueError, match="100 steps can be gone back in 1 to 100 strides, not 101"):
        way_back(100, 101)
    with pytest.raises(ValueError, match="at least 2 steps"):
        noise_schedule("cosine", 1)
