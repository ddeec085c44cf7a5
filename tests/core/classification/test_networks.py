"""A frozen backbone is not run and does not change; once trained, its known features are no longer used."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from core.classification.batches import ClassBatch, MixedClasses, as_batch
from core.classification.dataset import ClassifierDataset, DivisionOptions, dataset, divided
from core.classification.networks import ImageNetwork
from core.classification.run import Recipe, build_run
from core.data.images.features import views_of
from core.data.images.options import ViewOptions
from core.data.images.views import plain, show
from core.data.labelled import Labelled
from core.tasks.cataract_network import one_view
from core.tasks.cataract_options import CataractOptions
from core.training.loop import train

SIDE = 16


class Small(nn.Module):
    """A backbone that takes no time: one convolution and batch normalisation."""

    features = 4

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
        self.runs = 0

    def forward(self, pixels_B3PP: torch.Tensor) -> torch.Tensor:
        self.runs += 1
        features_BFPP: torch.Tensor = self.body(pixels_B3PP / 255)
        return features_BFPP.mean((2, 3))


def made() -> tuple[Small, Labelled]:
    """A backbone, and images with what it says of three views of each."""
    torch.manual_seed(4)
    backbone = Small().eval()
    pixels = np.random.default_rng(4).integers(0, 255, (24, 3, SIDE, SIDE), dtype=np.uint8)
    views = views_of(24, 3, ViewOptions(), seed=1)
    with torch.no_grad():
        said = [backbone(show(torch.tensor(pixels), torch.tensor(views[:, view]))).numpy() for view in range(3)]
    name = np.array([str(index) for index in range(24)])
    return backbone, Labelled(
        inputs=pixels,
        class_index=np.arange(24, dtype=np.int64) % 2,
        class_names=("a", "b"),
        group=name,
        name=name,
        views=views,
        features=np.stack(said, 1),
    )


def network_of(backbone: Small, *, keep: bool = False) -> ImageNetwork:
    return ImageNetwork(backbone, features=4, num_classes=2, dropout=0.0, keep_statistics=keep)


def data_of(table: Labelled) -> ClassifierDataset:
    options = DivisionOptions()
    return dataset([divided(table, options)], options, reading={"backbone": "small"})


def recipe_of(backbone: Small, *, keep: bool = False) -> Recipe:
    return Recipe(task="small", fresh=lambda *_: network_of(backbone, keep=keep), change=lambda *_: one_view)


def test_known_features_are_what_the_backbone_would_say() -> None:
    backbone, table = made()
    network = network_of(backbone).eval()
    whole = as_batch(table)
    for view in range(3):
        one = whole.view(torch.full((24,), view))
        known = network(one).class_logits_BK
        backbone.runs = 0
        unknown = ClassBatch(inputs_B=one.inputs_B, class_B=one.class_B, views_BV=one.views_BV)
        torch.testing.assert_close(network(unknown).class_logits_BK, known, atol=1e-5, rtol=1e-5)
        assert backbone.runs == 1


def test_a_frozen_backbone_is_not_run_and_after_the_boundary_it_is(tmp_path: Path) -> None:
    """No gradient, no change of a weight or of a statistic of batch normalisation, bit for bit; then all of them."""
    backbone, table = made()
    before = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
    backbone.runs = 0
    options = CataractOptions(epochs=4, batch_size=8, phases={"preset": "head_first", "boundaries": [0.5]})
    phases = []
    for report in train(build_run(recipe_of(backbone), options, data_of(table), seed=1), tmp_path):
        phases.append(report.phase)
        same = all(torch.equal(tensor, before[name]) for name, tensor in backbone.state_dict().items())
        assert same == (report.epoch <= 2)
        if report.epoch <= 2:
            assert backbone.runs == 0
            assert all(parameter.grad is None for parameter in backbone.parameters())
    assert phases == ["head", "head", "all", "all"]
    assert backbone.runs > 0
    moved = [name for name, tensor in backbone.state_dict().items() if not torch.equal(tensor, before[name])]
    assert set(moved) == set(before)


def test_kept_statistics_do_not_move_while_the_weights_around_them_do(tmp_path: Path) -> None:
    """And what is trained is the network that is scored: batches do not see themselves."""
    backbone, table = made()
    before = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
    options = CataractOptions(epochs=2, batch_size=2, phases={"preset": "head_first", "boundaries": [0.5]})
    run = build_run(recipe_of(backbone, keep=True), options, data_of(table), seed=1)
    list(train(run, tmp_path))
    same = {name for name, tensor in backbone.state_dict().items() if torch.equal(tensor, before[name])}
    assert same == {"body.1.running_mean", "body.1.running_var", "body.1.num_batches_tracked"}
    network = run.learners[0].network
    batch = as_batch(table).view(torch.zeros(24, dtype=torch.int64))
    trained = network.train()(batch).class_logits_BK
    torch.testing.assert_close(trained, network.eval()(batch).class_logits_BK)


def test_once_trained_the_known_features_are_forgotten() -> None:
    backbone, table = made()
    network = network_of(backbone)
    batch = as_batch(table).view(torch.zeros(24, dtype=torch.int64))
    network.train()
    network(batch)
    with torch.no_grad():
        for parameter in backbone.parameters():
            parameter.add_(1.0)
    network.eval()
    assert not torch.allclose(network(batch).class_logits_BK, network.head(batch.features_BV[:, 0]))  # type: ignore[index]
    again = network_of(Small())
    again.load_state_dict(network.state_dict())
    again.eval()
    torch.testing.assert_close(again(batch).class_logits_BK, network(batch).class_logits_BK)


def test_mixtures_are_of_features_while_frozen_and_of_pixels_later() -> None:
    backbone, table = made()
    network = network_of(backbone).eval()
    batch = as_batch(table).view(torch.zeros(24, dtype=torch.int64))
    columns = {name: getattr(batch, name) for name in ("inputs_B", "class_B", "views_BV", "features_BV")}
    both = MixedClasses(**columns, share=0.25, second=batch.take(torch.arange(23, -1, -1)))
    assert batch.features_BV is not None
    features = batch.features_BV[:, 0]
    torch.testing.assert_close(network(both).class_logits_BK, network.head(0.25 * features + 0.75 * features.flip(0)))
    network.trained.fill_(True)
    pixels = show(batch.inputs_B, torch.tensor(plain(24)))
    torch.testing.assert_close(
        network(both).class_logits_BK, network.head(backbone(0.25 * pixels + 0.75 * pixels.flip(0)))
    )


def test_a_training_goes_on_bit_for_bit_in_either_phase(tmp_path: Path) -> None:
    def reports(folder: Path, stop: int | None) -> list[float]:
        backbone, table = made()
        options = CataractOptions(
            epochs=4,
            batch_size=8,
            augment={"mixup": {"probability": 0.5, "skip_rare": False}},
            phases={"preset": "head_first", "boundaries": [0.5]},
        )
        losses = []
        for report in train(build_run(recipe_of(backbone), options, data_of(table), seed=1), folder):
            losses.append(report.health["loss/class"])
            if report.epoch == stop:
                break
        return losses

    whole = reports(tmp_path / "whole", None)
    for stop in (1, 2, 3):
        folder = tmp_path / str(stop)
        reports(folder, stop)
        assert reports(folder, None) == whole[stop - 1 :]


def test_every_parameter_lies_in_one_part() -> None:
    network = network_of(Small())
    found = [parameter for modules in network.parts().values() for each in modules for parameter in each.parameters()]
    assert len(found) == len(set(found)) == len(list(network.parameters()))


def test_explicit_weights_may_come_with_the_data_whatever_the_order_of_the_classes() -> None:
    backbone, table = made()
    options = CataractOptions(balance={"scheme": "explicit"})
    with pytest.raises(ValueError, match=r"needs balance\.weights, or data\.class_weights"):
        build_run(recipe_of(backbone), options, data_of(table), seed=1)
    weights = []
    for names in (("a", "b"), ("b", "a")):
        index = table.class_index if names == ("a", "b") else 1 - table.class_index
        renamed = Labelled(
            inputs=table.inputs,
            class_index=index,
            class_names=names,
            group=table.group,
            name=table.name,
            views=table.views,
            features=table.features,
        )
        division = DivisionOptions()
        data = dataset([divided(renamed, division)], division, weights={"b": 3.0, "a": 1.0}, reading={})
        run = build_run(recipe_of(backbone), options, data, seed=1)
        settings = run.learners[0].loss.settings  # type: ignore[attr-defined]
        weights.append(dict(zip(names, settings.class_weights_K.tolist(), strict=True)))
    assert weights[0] == weights[1] == {"a": 0.5, "b": 1.5}
