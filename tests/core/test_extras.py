"""A package that only some tasks need is missed in words, and a command ends with 4."""

from __future__ import annotations

import pytest

from abr_tune.errors import EnvironmentFault, Exit, unforeseen
from core.extras import MissingExtra, need
from core.models.image import build_backbone


def test_what_is_installed_is_not_missed() -> None:
    assert need("sounds", "json", "math") is None  # type: ignore[func-returns-value]


def test_what_is_missing_is_told_with_what_to_install() -> None:
    with pytest.raises(MissingExtra) as caught:
        need("sounds", "json", "no_such_module")
    assert str(caught.value) == "no_such_module is not installed, which this needs: pip install 'abr-tune[sounds]'"


def test_a_command_ends_with_4() -> None:
    wrapped = RuntimeError("a trial failed")
    wrapped.__cause__ = MissingExtra("timm", "timm")
    ended = unforeseen(wrapped, "run.log")
    assert isinstance(ended, EnvironmentFault)
    assert ended.exit == Exit.ENVIRONMENT
    assert "pip install 'abr-tune[timm]'" in str(ended)


def test_a_backbone_of_timm_asks_for_timm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.extras.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match="timm is not installed"):
        build_backbone("timm:resnet10t")
