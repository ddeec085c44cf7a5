import json

import numpy as np
import pytest

from abr_tune.errors import UserError
from abr_tune.runs import RunFolder
from benchmarks.targets import TARGETS, Target, confirmed_means, finished_stages, ideally, verdict
from core.data.simulator import simulate_split
from core.metrics.resampled import METRICS

CORRELATION = Target("44, 001", "threshold/pearson", 0.7)


def values(**given: float | None) -> dict[str, float | None]:
    return dict.fromkeys(("ours", "together", "at length", "tree", "latents as read", "ceiling")) | {
        name.replace("_", " "): value for name, value in given.items()
    }


@pytest.mark.parametrize(
    ("given", "at_most", "expected"),
    [
        (values(ours=0.71), None, "reached"),
        (values(ours=0.69, together=0.72), None, "reached by the leaders together (0.720); alone short by 0.010"),
        (values(ours=0.69, at_length=0.72), None, "reached by `small` at length (0.720); alone short by 0.010"),
        (values(ours=0.5, ceiling=0.65), None, "out of reach: the true latents give 0.650; short by 0.200"),
        (values(ours=0.5, ceiling=0.9), 0.6, "out of reach of the noise: at most 0.600; short by 0.200"),
        (
            values(ours=0.5, ceiling=0.9, latents_as_read=0.68),
            None,
            "out of reach of the noise: latents as it lets them be read give 0.680; short by 0.200",
        ),
        (values(ours=0.5, ceiling=0.9, latents_as_read=0.8), 0.71, "missed, short by 0.200"),
        (values(), None, "missed: not computed"),
    ],
)
def test_what_is_missed_is_said_with_how_much_and_why(given, at_most, expected):
    assert verdict(CORRELATION, None, given, at_most) == expected


def test_gates_are_judged_by_validation_and_errors_should_be_small():
    gate = Target("43, gate 3", "threshold/mae_db", 10.0)
    assert verdict(gate, 9.9, values(ours=11.0), None) == "reached"
    assert verdict(gate, 10.1, values(ours=9.0, ceiling=7.0), None) == "missed, short by 0.100"
    assert gate.asked == "< 10"
    assert {target.metric for target in TARGETS} <= set(METRICS)


def test_only_a_run_of_stages_that_passed_its_gates_is_read(tmp_path):
    with pytest.raises(UserError, match="no run of stages"):
        finished_stages(tmp_path)
    stopped = {"state": "finished", "stopped_at": "phase2", "stages": [{"name": "phase1"}, {"name": "phase2"}]}
    (tmp_path / "summary.json").write_text(json.dumps(stopped))
    with pytest.raises(UserError, match=r"phase2.*unseen"):
        finished_stages(tmp_path)


def test_confirmed_means_are_those_of_the_fresh_runs_ends(tmp_path):
    for name, ends in (("5-12", (0.1, 0.4)), ("5-13", (0.2, 0.6))):
        folder = tmp_path / "confirm" / name
        folder.mkdir(parents=True)
        lines = [json.dumps({"epoch": epoch, "metrics": {"val/a": value}}) for epoch, value in enumerate(ends, 1)]
        (folder / "history.jsonl").write_text("\n".join(lines) + "\n")
    summary = {"finalists": [{"trial": 5, "runs": ["confirm/5-12", "confirm/5-13"]}]}
    (tmp_path / "summary.json").write_text(json.dumps(summary))
    assert confirmed_means(RunFolder(tmp_path))["val/a"] == pytest.approx(np.mean([0.4, 0.6]))


def test_the_ideal_readers_posteriors_are_of_these_recordings_or_refused(tmp_path):
    test, _ = simulate_split("test", 300, 3)
    place = np.arange(0, 300, 2)
    truth = test.hearing_class[place]
    file = tmp_path / "ideal.npz"
    known = {"place": place, "weight": np.ones(len(place)), "truth": truth}
    np.savez(file, probability=np.eye(5)[truth], **known)
    assert ideally(file, test).accuracy == ideally(file, test).f1_macro.value == 1
    np.savez(file, probability=np.eye(5)[0 * truth], **known)
    assert ideally(file, test).accuracy == pytest.approx((truth == 0).mean())
    other, _ = simulate_split("test", 300, 4)
    with pytest.raises(UserError, match="other recordings"):
        ideally(file, other)
