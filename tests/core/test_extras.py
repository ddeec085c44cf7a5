"""A package that only some tasks need is missed in words, and a command ends with 4."""

from __future__ import annotations

import pytest
import torch

from abr_tune.errors import EnvironmentFault, Exit, unforeseen
from core.extras import Missing, MissingExtra, MissingWeights, need
from core.models.image import build_backbone, refuse_unknown


def test_what_is_installed_is_not_missed() -> None:
    assert need("sounds", "json", "math") is None  # type: ignore[func-returns-value]


def test_what_is_missing_is_told_with_what_to_install() -> None:
    with pytest.raises(MissingExtra) as caught:
        need("sounds", "json", "no_such_module")
    assert str(caught.value) == "no_such_module is not installed, which this needs: pip install 'abr-tune[sounds]'"


@pytest.mark.parametrize(
    ("missing", "says"),
    [
        (MissingExtra("timm", "timm"), "pip install 'abr-tune[timm]'"),
        (MissingWeights("timm:resnet10t", "no connection"), "weights of timm:resnet10t are not on this machine"),
    ],
)
def test_a_command_ends_with_4(missing: Missing, says: str) -> None:
    wrapped = RuntimeError("a trial failed")
    wrapped.__cause__ = missing
    ended = unforeseen(wrapped, "run.log")
    assert isinstance(ended, EnvironmentFault)
    assert ended.exit == Exit.ENVIRONMENT
    assert says in str(ended)


def test_a_backbone_of_timm_asks_for_timm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.extras.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match="timm is not installed"):
        build_backbone("timm:resnet10t")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("resnt10t", r"timm has no model resnt10t; did you mean timm:resnet10t\?"),
        ("resnet10t.other", r"no pretrained weights of resnet10t\.other; did you mean timm:resnet10t\.c3_in1k\?"),
        ("resnet9", "timm has no pretrained weights of resnet9$"),
    ],
)
def test_models_that_timm_has_not_are_told(name: str, says: str) -> None:
    models, weights = ["resnet10t", "resnet9", "vit"], ["resnet10t.c3_in1k"]
    with pytest.raises(ValueError, match=says):
        refuse_unknown(name, models, weights)
    refuse_unknown("resnet10t", models, weights)
    refuse_unknown("resnet10t.c3_in1k", models, weights)
    refuse_unknown("resnet9", models, None)


def test_models_of_timm_are_read_as_they_ask_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every model says how many features it gives and which size it reads; weights out of reach are told."""
    timm = pytest.importorskip("timm", reason="the extra timm is not installed")
    images = torch.full((2, 3, 64, 64), 127.0)
    for name in ("resnet10t", "mobilenetv3_small_050"):
        backbone = build_backbone(f"timm:{name}", pretrained=False).eval()
        assert backbone(images).shape == (2, backbone.features)
    with pytest.raises(ValueError, match=r"reads images of 224 pixels a side: give data\.size 224"):
        build_backbone("timm:vit_tiny_patch16_224", pretrained=False)(images)

    def unreachable(*_: object, **__: object) -> None:
        raise OSError("no connection")

    monkeypatch.setattr(timm, "create_model", unreachable)
    with pytest.raises(MissingWeights, match="timm:resnet10t are not on this machine and cannot be fetched: no conn"):
        build_backbone("timm:resnet10t")
