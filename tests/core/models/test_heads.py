import pytest
import torch

from core.data.scaling import Target
from core.models.features import Features, FeatureSizes
from core.models.heads import Bounded, ScalarHead, SignalHead
from core.models.peak_heads import LatencyHead

THRESHOLD = Target(mean=25.0, sd=18.0, low=-8.0, high=120.0)


def sizes(*, fine: int = 4) -> FeatureSizes:
    return FeatureSizes(tokens=6, fine=fine, condition=5, fine_stride=2)


def features(
    *, summary_BF: torch.Tensor | None = None, fine_BCL: torch.Tensor | None = None, stride: int = 2
) -> Features:
    nothing = torch.empty(0)
    return Features(
        tokens_BDL=nothing,
        fine_BCL=nothing if fine_BCL is None else fine_BCL,
        summary_BF=nothing if summary_BF is None else summary_BF,
        condition_BE=nothing,
        fine_stride=stride,
    )


@pytest.mark.parametrize("target", [THRESHOLD, Target(mean=0.17, sd=0.16, low=0.0, high=2.0)])
def test_zero_is_the_mean_and_one_step_is_the_spread(target: Target) -> None:
    bounded = Bounded(target).double()
    raw = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    value = bounded(raw)
    value.backward()
    assert value.item() == pytest.approx(target.mean, rel=1e-4)
    assert raw.grad is not None
    assert raw.grad.item() == pytest.approx(target.sd, rel=1e-4)


def test_predictions_never_leave_the_range() -> None:
    values = Bounded(THRESHOLD)(torch.tensor([-1e6, -3.0, 0.0, 3.0, 1e6]))
    assert values.min() >= THRESHOLD.low
    assert values.max() <= THRESHOLD.high
    assert (values.diff() > 0).all()


def test_scalar_head_starts_at_the_mean_of_the_labels() -> None:
    torch.manual_seed(0)
    predictions = ScalarHead(16, 32, 0.0, THRESHOLD)(features(summary_BF=torch.randn(64, 16))).mean_B
    assert predictions.mean().item() == pytest.approx(THRESHOLD.mean, abs=0.2 * THRESHOLD.sd)


def test_latency_is_the_mean_time_under_the_distribution() -> None:
    head = LatencyHead(sizes(fine=1), 8, 0.0, None, ms_per_sample=1.0)
    with torch.no_grad():
        head.score.weight.zero_()
        head.score.weight[0, 0, 2] = 1.0
        head.score.bias.zero_()
    # Scores log 1, log 3 at 6 and 8 ms, almost nothing elsewhere: 0.25 * 6 + 0.75 * 8.
    scores = torch.full((1, 1, 5), -100.0)
    scores[0, 0, 3:5] = torch.tensor([1.0, 3.0]).log()
    assert head(features(fine_BCL=scores)).mean_B.item() == pytest.approx(7.5, abs=1e-5)


def test_latency_stays_within_the_labels() -> None:
    torch.manual_seed(0)
    target = Target(mean=7.0, sd=1.0, low=5.0, high=9.0)
    head = LatencyHead(sizes(), 8, 0.0, target, ms_per_sample=1 / 15)
    latency = head(features(fine_BCL=100 * torch.randn(50, 4, 100))).mean_B
    assert latency.min() >= 5.0
    assert latency.max() <= 9.0
    assert latency.std() > 0.1


@pytest.mark.parametrize("stride", [1, 2, 3, 4])
def test_signal_head_starts_without_a_correction(stride: int) -> None:
    correction = SignalHead(3, stride)(features(fine_BCL=torch.randn(2, 3, 25), stride=stride))
    assert correction.shape == (2, 25 * stride)
    assert not correction.any()
