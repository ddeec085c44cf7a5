"""`evaluate` of several networks together, and on a file of recordings of one's own."""

from pathlib import Path

import pytest

from abr_tune.ensemble import members_of
from abr_tune.errors import UserError
from abr_tune.runs import RunFolder
from core.data.files import write
from core.tasks.abr import AbrTask
from core.tasks.abr_options import SimulatedData
from tests.end_to_end.commands import METRIC, Made


def test_the_members_are_the_leaders_trainings_on_all_their_seeds(little: Made) -> None:
    best = little.summary["best"]["trial"]
    members = members_of(RunFolder(little.folder), None)
    assert [(member.trial, member.seed) for member in members] == [(best, 0), (best, 1), (best, 2)]
    assert all(member.size > 10_000 for member in members)
    with pytest.raises(UserError, match="no confirmed leaders yet"):
        members_of(RunFolder(little.out), None)


def test_together_beside_the_best_and_each_member(little: Made) -> None:
    alone = little.ask("evaluate", "--json").json
    together = little.ask("evaluate", "--ensemble", "--json").json
    assert together["baselines"] == alone["baselines"]
    assert together["members"][0]["metrics"] == alone["metrics"]
    assert [member["seed"] for member in together["members"]] == [0, 1, 2]
    assert together["metrics"][METRIC] not in {member["metrics"][METRIC] for member in together["members"]}
    shown = little.ask("evaluate", "--top", "1").out
    assert shown.split()[:3] == ["together", "best", "trivial"]
    assert "3 networks, " in shown
    assert f"seed 2    {together['members'][2]['metrics'][next(iter(together['metrics']))]:10.4f}" in shown


def test_a_file_of_ones_own(little: Made, tmp_path: Path) -> None:
    data = AbrTask().load(SimulatedData(train=60, val=50, test=60, seed=11), folder=tmp_path)
    write(data.held_out("test")[0], tmp_path / "own.npz")
    answer = little.ask("evaluate", "--data", tmp_path / "own.npz", "--json")
    assert answer.code == 0, answer.err
    assert answer.json["metrics"].keys() >= {"test/class/accuracy", "test/threshold/mae_db"}
    assert answer.json["baselines"].keys() >= {"test/class/accuracy", "test/threshold/mae_db"}
    missing = little.ask("evaluate", "--data", tmp_path / "none.npz")
    assert (missing.code, "none.npz" in missing.err) == (2, True)
