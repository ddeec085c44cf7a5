import json
from dataclasses import replace

import numpy as np
import pytest

from core.data.recordings import Recordings
from core.data.scaling import Scaling, fit_scaling
from core.data.tensors import as_batch


@pytest.fixture
def two() -> Recordings:
    """Two recordings of four samples whose statistics can be worked out in the head."""
    return Recordings(
        signal=np.array([[1, -1, 1, -1], [3, -3, 3, -3]], np.float32),
        sampling_rate_hz=15_000.0,
        unit="uV",
        patient=np.array(["a", "b"]),
        static=np.array([[0, 20, 30, np.nan], [np.e**2 - 1, 60, 30, np.nan]], np.float32),
        class_names=("NORMAL", "SNİK"),
        hearing_class=np.array([0, -1]),
        threshold_db=np.array([10, 30], np.float32),
        peak_exist=np.array([1, np.nan], np.float32),
        peak_latency_ms=np.array([6, np.nan], np.float32),
        peak_amplitude_uv=np.array([np.nan, np.nan], np.float32),
    )


def test_statistics_by_hand(two: Recordings) -> None:
    scaling = fit_scaling(two)
    # Ages 0 and e^2 - 1 become 0 and 2; intensities 20 and 60; a constant rate; an unknown FMP.
    assert scaling.static_mean == pytest.approx((1, 40, 30, 0), abs=1e-6)
    assert scaling.static_sd == pytest.approx((1, 20, 1, 1), abs=1e-6)
    assert scaling.signal == pytest.approx(np.sqrt(5))
    assert scaling.clean is None


def test_bounds_are_the_label_range_with_a_margin(two: Recordings) -> None:
    threshold = fit_scaling(two).threshold
    assert threshold is not None
    assert (threshold.mean, threshold.sd) == (20, 10)
    assert (threshold.low, threshold.high) == (8, 32)


def test_a_single_label_still_leaves_a_range(two: Recordings) -> None:
    latency = fit_scaling(two).latency
    assert latency is not None
    assert latency.low < latency.mean == 6 < latency.high
    assert latency.sd > 0


def test_target_without_labels_is_none(two: Recordings) -> None:
    assert fit_scaling(two).amplitude is None


def test_scored_signals_are_left_as_they_are(two: Recordings) -> None:
    assert fit_scaling(replace(two, unit="z")).signal == 1.0


def test_spread_of_the_truth(two: Recordings) -> None:
    assert fit_scaling(replace(two, clean=two.signal * 2)).clean == pytest.approx(2 * np.sqrt(5))


def test_survives_json(two: Recordings) -> None:
    scaling = fit_scaling(two)
    assert Scaling.from_json(json.loads(json.dumps(scaling.to_json()))) == scaling


def test_batch_holds_what_the_recordings_hold(two: Recordings) -> None:
    batch = as_batch(two)
    assert len(batch) == 2
    assert batch.class_B.tolist() == [0, -1]
    assert batch.latency_B[0] == 6
    assert batch.latency_B[1].isnan()
    assert batch.clean_BT.shape == (2, 4)
    assert batch.clean_BT.isnan().all()


def test_taking_from_a_batch_keeps_rows_together(two: Recordings) -> None:
    import torch

    swapped = as_batch(two).take(torch.tensor([1, 0, 1]))
    assert swapped.signal_BT[:, 0].tolist() == [3, 1, 3]
    assert swapped.threshold_B.tolist() == [30, 10, 30]
