import math
from dataclasses import replace
from typing import get_args

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from torch.testing import assert_close

from core.data.scaling import Scaling, fit_scaling
from core.data.tensors import Batch, as_batch
from core.losses.class_term import focal, logit_shift
from core.losses.likelihood import cleaned_error, huber
from core.losses.terms import TERMS, TermSettings
from core.models.outputs import Outputs
from core.tasks.abr_options import Term

NAN = math.nan


@pytest.fixture
def batch(bump_recordings) -> Batch:
    return as_batch(bump_recordings(8))


@pytest.fixture
def settings(bump_recordings) -> TermSettings:
    scaling: Scaling = fit_scaling(bump_recordings(8))
    weight_K = torch.tensor([0.2, 1.5, 1.0, 1.2, 1.1])
    return TermSettings(class_weights_K=weight_K, gamma=0.0, label_smoothing=0.0, huber_delta=1.0, scaling=scaling)


def outputs_for(batch: Batch) -> Outputs:
    random = torch.Generator().manual_seed(0)

    def leaf(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=random).requires_grad_()

    rows, samples = batch.signal_BT.shape
    return Outputs(
        class_logits_BK=leaf(rows, 5),
        threshold_B=leaf(rows),
        exist_logit_B=leaf(rows),
        latency_B=leaf(rows),
        amplitude_B=leaf(rows),
        signal_BT=leaf(rows, samples),
    )


PREDICTION: dict[Term, str] = {
    "signal": "signal_BT",
    "peak_exist": "exist_logit_B",
    "peak_latency": "latency_B",
    "peak_amplitude": "amplitude_B",
    "class": "class_logits_BK",
    "threshold": "threshold_B",
}
LABEL: dict[Term, str] = {
    "signal": "clean_BT",
    "peak_exist": "peak_exist_B",
    "peak_latency": "latency_B",
    "peak_amplitude": "amplitude_B",
    "class": "class_B",
    "threshold": "threshold_B",
}


def without(batch: Batch, term: Term, rows: slice) -> Batch:
    label = getattr(batch, LABEL[term]).clone()
    label[rows] = -1 if term == "class" else NAN
    return replace(batch, **{LABEL[term]: label})


def test_every_term_is_implemented() -> None:
    assert set(TERMS) == set(get_args(Term)) == set(PREDICTION)


@pytest.mark.parametrize("term", TERMS)
def test_term_is_a_finite_scalar_that_reaches_its_own_prediction_only(
    term: Term, batch: Batch, settings: TermSettings
) -> None:
    outputs = outputs_for(batch)
    value = TERMS[term].numerator(outputs, batch, settings)
    assert value.shape == ()
    assert value.isfinite()
    value.backward()
    for name in PREDICTION.values():
        gradient = getattr(outputs, name).grad
        assert (gradient is not None and bool(gradient.any())) == (name == PREDICTION[term]), name


@pytest.mark.parametrize("term", TERMS)
def test_recordings_without_the_label_send_zero_finite_gradient(
    term: Term, batch: Batch, settings: TermSettings
) -> None:
    outputs = outputs_for(batch)
    TERMS[term].numerator(outputs, without(batch, term, slice(2, 5)), settings).backward()
    gradient = getattr(outputs, PREDICTION[term]).grad
    assert gradient.isfinite().all()
    assert not gradient[2:5].any()
    assert gradient[:2].any()


@pytest.mark.parametrize("term", TERMS)
def test_without_any_label_numerator_and_denominator_are_zero(term: Term, batch: Batch, settings: TermSettings) -> None:
    outputs, bare = outputs_for(batch), without(batch, term, slice(None))
    value = TERMS[term].numerator(outputs, bare, settings)
    value.backward()
    assert value == 0
    assert TERMS[term].denominator(bare, settings) == 0
    assert not getattr(outputs, PREDICTION[term]).grad.any()


@pytest.mark.parametrize("term", TERMS)
def test_a_row_counts_as_in_a_batch_of_its_own(term: Term, batch: Batch, settings: TermSettings) -> None:
    outputs = outputs_for(batch)
    parts = []
    for row in range(len(batch)):
        own = Outputs(**{name: getattr(outputs, name)[row : row + 1] for name in PREDICTION.values()})
        part = batch.take(torch.tensor([row]))
        parts.append((TERMS[term].numerator(own, part, settings), TERMS[term].denominator(part, settings)))
    numerator, denominator = (torch.stack(values).sum() for values in zip(*parts, strict=True))
    assert_close(TERMS[term].numerator(outputs, batch, settings), numerator)
    assert_close(TERMS[term].denominator(batch, settings), denominator)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_class_term_is_torchs_weighted_cross_entropy(smoothing: float, batch: Batch, settings: TermSettings) -> None:
    partly = without(batch, "class", slice(0, 2))
    outputs = outputs_for(batch)
    smoothed = replace(settings, label_smoothing=smoothing)
    ours = TERMS["class"].numerator(outputs, partly, smoothed) / TERMS["class"].denominator(partly, smoothed)
    torchs = functional.cross_entropy(
        outputs.class_logits_BK,
        partly.class_B,
        settings.class_weights_K,
        ignore_index=-1,
        label_smoothing=smoothing,
    )
    assert_close(ours, torchs)


def test_focal_by_hand() -> None:
    # p = 0.5, gamma 2: 0.25 * log 2 = 0.17329; a weight of 3 triples it.
    even_12 = torch.zeros(1, 2)
    assert_close(
        focal(even_12, torch.tensor([1]), torch.ones(2), gamma=2.0), torch.tensor([0.17329]), rtol=0, atol=1e-5
    )
    weighted = focal(even_12, torch.tensor([1]), torch.tensor([1.0, 3.0]), gamma=2.0)
    assert_close(weighted, torch.tensor([3 * 0.17329]), rtol=0, atol=3e-5)


def test_logit_adjustment_by_hand(batch: Batch, settings: TermSettings) -> None:
    # Even logits and shares of 3/4 and 1/4: with strength 1 the loss sees the shares themselves.
    shift_K = logit_shift([0.75, 0.25, 0.0], 1.0)
    assert_close(shift_K, torch.tensor([math.log(0.75), math.log(0.25), 0.0]))
    assert_close(shift_K[:2].softmax(0), torch.tensor([0.75, 0.25]))
    assert_close(logit_shift([0.75, 0.25], 2.0)[1], torch.tensor(2 * math.log(0.25)))
    outputs = outputs_for(batch)
    shift_K = logit_shift([0.5, 0.2, 0.1, 0.1, 0.1], 1.0)
    found = TERMS["class"].numerator(outputs, batch, replace(settings, logit_shift_K=shift_K))
    moved = replace(outputs, class_logits_BK=outputs.class_logits_BK + shift_K)
    assert_close(found, TERMS["class"].numerator(moved, batch, settings))
    assert not torch.isclose(found, TERMS["class"].numerator(outputs, batch, settings))


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_focal_has_finite_gradients_where_the_answer_is_certain(gamma: float) -> None:
    logits = torch.tensor([[200.0, -200.0], [-200.0, 200.0]], requires_grad=True)
    focal(logits, torch.tensor([0, 0]), torch.ones(2), gamma=gamma).sum().backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_huber_by_hand() -> None:
    # Errors of 1, 4 and nothing, in units of 2: 0.5 and 2, so 0.125 and delta (2 - delta / 2) = 1.5.
    error_B = cleaned_error(torch.tensor([1.0, 4.0, 9.0]), torch.tensor([0.0, 0.0, NAN]), spread=2.0)
    value = huber(error_B, delta=1.0)
    assert_close(value, torch.tensor([0.125, 1.5, 0.0]))


def test_peak_terms_divide_by_the_peaks_that_exist(batch: Batch, settings: TermSettings) -> None:
    # Every fourth of the eight recordings has no wave V; existence itself is known for all.
    assert TERMS["peak_latency"].denominator(batch, settings) == 6
    assert TERMS["peak_amplitude"].denominator(batch, settings) == 6
    assert TERMS["peak_exist"].denominator(batch, settings) == 8


def test_class_term_divides_by_the_sum_of_weights(batch: Batch, settings: TermSettings) -> None:
    # Classes 0 1 2 3 4 0 1 2.
    assert TERMS["class"].denominator(batch, settings).item() == pytest.approx(2 * (0.2 + 1.5 + 1.0) + 1.2 + 1.1)


def test_silence_costs_the_signal_term_one_in_units_of_the_truth(batch: Batch, settings: TermSettings) -> None:
    silence = replace(outputs_for(batch), signal_BT=torch.zeros_like(batch.signal_BT))
    value = TERMS["signal"].numerator(silence, batch, settings) / TERMS["signal"].denominator(batch, settings)
    # The spread is taken about the mean of the truth, which is above 0.
    assert value.item() == pytest.approx(1.0, abs=0.2)
    assert value >= 1.0
