"""A graphics card that is asked for and not there: what to do, and the exit code of the environment."""

from pathlib import Path

import pytest
import torch

from tests.end_to_end.commands import call

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a graphics card here")
CONFIG = """\
task: abr
data: {source: simulated, train: 40, val: 40, test: 40}
train: {epochs: 1, device: cuda}
"""


def test_a_training_that_wants_a_card(tmp_path: Path) -> None:
    file = tmp_path / "wants.yaml"
    file.write_text(CONFIG, encoding="utf-8")
    answer = call("train", file, "--out", tmp_path / "results")
    assert answer.code == 4
    assert "device cuda is asked for, but torch" in answer.err
    assert answer.err.rstrip().endswith("on the command line: --set train.device=auto")
    assert not list((tmp_path / "results").rglob("*.safetensors"))
    assert call("train", file, "--set", "train.device=auto", "--out", tmp_path / "results").code == 0
