"""A task of one's own that cannot be trained is refused before any trial."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from abr_tune.plan.tasks import UnknownTask, find_task

MODULE = """
from pydantic import BaseModel

class Options(BaseModel, frozen=True):
    lr: float = 1.0

class Own:
    name = "own"
    options = Options
    {data}

    def train({signature}):
        yield
"""


@pytest.mark.parametrize(
    ("signature", "data", "said"),
    [
        ("self, options, *, seed, checkpoint", "", None),
        ("self, options, **anything", "", None),
        ("self, options, *, seed", "", "got an unexpected keyword argument 'checkpoint'"),
        ("self, options, folder, *, seed, checkpoint", "", "missing a required argument: 'folder'"),
        ("self, options, *, seed, checkpoint", "data = Options", "got an unexpected keyword argument 'data'"),
        ("self, options, *, seed, checkpoint, data", "data = Options", None),
    ],
)
def test_train_must_take_what_it_is_called_with(
    signature: str, data: str, said: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message has the call and what does not fit."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "signed_task", raising=False)
    (tmp_path / "signed_task.py").write_text(MODULE.format(signature=signature, data=data))
    if said is None:
        assert find_task("signed_task:Own", trust_code=True, folders=[tmp_path]).name == "own"
    else:
        with pytest.raises(UnknownTask, match=r"cannot be called as train\(options, \*, seed, checkpoint") as refused:
            find_task("signed_task:Own", trust_code=True, folders=[tmp_path])
        assert said in str(refused.value)
    sys.modules.pop("signed_task", None)
