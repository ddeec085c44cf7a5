import numpy as np
import pytest

from core.data import ceilings
from core.data.recordings import Fold
from core.data.simulator import simulate_split
from core.metrics.resampled import metric_value

pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture(scope="module")
def parts():
    return {split: simulate_split(split, count, 3) for split, count in (("train", 400), ("val", 400))}


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(ceilings, "ITERATIONS", 8)
    monkeypatch.setattr(ceilings, "SMALL", 0)
    monkeypatch.setattr(ceilings, "COMPONENTS", 2)


def test_trees_on_inputs_answer_every_task_better_than_nothing(parts):
    (train, _), (val, _) = parts["train"], parts["val"]
    said = ceilings.tree_on_inputs(Fold(train=train, val=val, test=None), "all", "val")
    assert metric_value("class/f1_macro", said, val) > 0.2
    for metric in ("threshold/r2", "peak/amplitude_r2", "peak/latency_r2"):
        assert metric_value(metric, said, val) > 0.1, metric
    assert metric_value("signal/snr_db", said, val) > 1


def test_whoever_knows_the_latents_knows_more_than_who_reads_them(parts):
    val, latents = parts["val"]
    known, read = (
        ceilings.informed(val, latents, knowledge=knowledge, seed=3, patients=300)
        for knowledge in ("latents", "reading")
    )
    for metric in ("threshold/r2", "peak/exist_f1", "class/accuracy"):
        assert metric_value(metric, known, val) > metric_value(metric, read, val), metric
    assert known.signal is None
    assert np.isfinite(known.latency_ms).all()
