"""The audio task: files in, scores out; normalisation, masks, weights, every kind of file it may meet."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from pydantic import TypeAdapter, ValidationError

from abr_tune.plan.load import load_plan
from core.classification.batches import ClassBatch
from core.classification.dataset import ClassifierDataset
from core.classification.run import build_run
from core.data.audio.longtail import tail_counts
from core.data.audio.simulated import kinds, sound, tail
from core.data.check import DataMistakes
from core.data.listing import Listed, table_of
from core.health import HealthOptions, judge
from core.models.audio import AudioCNN, AudioViT, build_audio_model
from core.report import EpochReport
from core.tasks import TASKS
from core.tasks.audio_network import MOMENTS, RECIPE, Masks
from core.tasks.audio_options import AudioModelOptions, AudioOptions, SpecAugmentOptions

TASK = TASKS["audio"]
SPACE = Path(__file__).parents[3] / "search_spaces" / "audio.yaml"
FSDD = Path(__file__).parents[4] / "shared" / "data"
SMALL = {"sampling_rate_hz": 8000, "seconds": 0.5, "coefficients": 20, "fft": 256, "hop": 128}


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))


def load(folder: Path, **data: Any) -> ClassifierDataset:
    options = TypeAdapter(TASK.data).validate_python({"features": SMALL, **data})
    found: ClassifierDataset = TASK.load(options, folder=folder)
    return found


@pytest.fixture(scope="session")
def calls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three kinds of tones, 12, 8 and 4 recordings, in a folder each."""
    folder = tmp_path_factory.mktemp("calls")
    random = np.random.default_rng(5)
    for name, hz, count in (("high", 2000, 12), ("low", 400, 8), ("rare", 900, 4)):
        (folder / name).mkdir()
        for take in range(count):
            wave = 0.3 * np.sin(2 * np.pi * hz * np.arange(4000) / 8000) + 0.05 * random.standard_normal(4000)
            soundfile.write(folder / name / f"{take}.wav", wave, 8000)
    return folder


def test_a_folder_becomes_a_data_set(calls: Path) -> None:
    data = load(calls.parent, source=calls.name, test_share=0.25, val_share=0.25, rare_most=3)
    [fold] = data.folds
    assert data.class_names == ("high", "low", "rare")
    assert fold.train.inputs.shape[1:] == (3, 20, 32)
    assert fold.test is not None
    assert (fold.train.counts() + fold.val.counts() + fold.test.counts()).tolist() == [12, 8, 4]
    assert data.rare == ("rare",)
    assert not data.simulated
    assert data.fingerprint == load(calls.parent, source=calls.name, test_share=0.25, val_share=0.25).fingerprint


def test_it_learns_and_its_weights_say_the_same(calls: Path, tmp_path: Path) -> None:
    data = load(calls.parent, source=calls.name, test_share=0.25, val_share=0.25)
    options = AudioOptions(epochs=20, batch_size=4, optimizer={"lr": 5e-3})
    reports = list(TASK.train(options, seed=1, checkpoint=tmp_path, data=data))
    assert reports[-1].metrics["val/class/f1_macro"] == 1.0 > TASK.baselines(data)["val/class/f1_macro"]
    weights = next(tmp_path.rglob("epoch-000020/model.safetensors"))
    assert TASK.evaluate(weights, data=data, split="val").metrics["val/class/f1_macro"] == 1.0
    scores = TASK.evaluate(weights, data=data, split="test")
    assert scores.confusion is not None
    assert scores.confusion.counts == ((3, 0, 0), (0, 2, 0), (0, 0, 1))
    assert scores.confusion.trained == tuple(data.folds[0].train.counts())
    table = TASK.predict(weights, calls)
    assert len(table) == 24
    assert [name.split("/")[0] for name in table["name"]] == table["class"].tolist()
    own = TASK.evaluate_file([weights, weights], calls, data=data)
    assert own.scores.metrics["test/class/accuracy"] == 1.0
    assert own.scores.baselines["test/class/accuracy"] == 0.5
    assert len(own.members) == 2
    assert TASK.evaluate_together([weights], data=data, split="test").scores == scores
    one = TASK.predict(weights, calls / "low" / "3.wav")
    assert one["class"].tolist() == ["low"]
    assert one.filter(like="probability/").sum(axis=1).tolist() == pytest.approx([1.0])


def test_weights_of_another_task_are_refused(tmp_path: Path, calls: Path) -> None:
    data = load(calls.parent, source=calls.name)
    list(TASK.train(AudioOptions(epochs=1), seed=1, checkpoint=tmp_path, data=data))
    weights = next(tmp_path.rglob("model.safetensors"))
    with pytest.raises(ValueError, match="holds no trained cataract model: it was trained for audio"):
        TASKS["cataract"].evaluate(weights, data=data, split="val")


def test_normalised_features_have_mean_0_and_spread_1(calls: Path) -> None:
    """By the training recordings; document 003's numbers bring to that what it was measured on, not what is here."""
    train = load(calls.parent, source=calls.name).folds[0].train
    torch.manual_seed(1)
    network = RECIPE.fresh(AudioOptions(), train, {})
    scaled = network.standardise(torch.tensor(train.inputs))
    torch.testing.assert_close(scaled.mean((0, 2, 3)), torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(scaled.std((0, 2, 3)), torch.ones(3), atol=1e-2, rtol=0)
    assert MOMENTS["document"](train) == ((-8.80, 0.02, 0.0), (62.53, 1.69, 1.0))
    plain = RECIPE.fresh(AudioOptions(model=AudioModelOptions(normalise="none")), train, {})
    assert torch.equal(plain.standardise(torch.tensor(train.inputs)), torch.tensor(train.inputs))


def test_validation_recordings_do_not_move_the_normalisation(calls: Path) -> None:
    [fold] = load(calls.parent, source=calls.name).folds
    mean = MOMENTS["train"](fold.train)[0]
    fold.val.inputs[:] += 1000
    assert MOMENTS["train"](fold.train)[0] == mean


def test_masks_hide_stretches_of_their_length_behind_the_mean() -> None:
    """The mean of each coefficient: here 0 to 19 in the first channel, their negatives in the second."""
    options = SpecAugmentOptions(probability=1.0, coefficients=4, frames=6)
    features = torch.randn(200, 2, 20, 32)
    batch = ClassBatch(inputs_B=features, class_B=torch.zeros(200, dtype=torch.int64))
    level_M1, around = np.arange(20.0)[:, None], np.array([-1.0, 1.0])
    known = np.stack([level_M1 + around, around - level_M1])[None].astype(np.float32)
    train = table_of([Listed(Path("a.wav"), "a.wav", "one", "a.wav")], known, ["one"])
    masked = Masks(options, train)(batch, np.random.default_rng(1)).inputs_B
    hidden = masked != features
    mean_AM1 = torch.stack([torch.arange(20.0), -torch.arange(20.0)])[:, :, None]
    assert torch.equal(masked[hidden], mean_AM1.expand(200, 2, 20, 32)[hidden])
    assert torch.equal(hidden[:, 0], hidden[:, 1])
    rows, columns = hidden[:, 0].all(2).sum(1), hidden[:, 0].all(1).sum(1)
    assert rows.max() == 4
    assert columns.max() == 6
    assert rows.min() == columns.min() == 0
    some = Masks(options.model_copy(update={"probability": 0.3}), train)(batch, np.random.default_rng(1))
    share = (some.inputs_B != features).flatten(1).any(1).float().mean()
    assert share == pytest.approx(0.3, abs=0.1)


@pytest.mark.parametrize("kind", ["cnn", "vit"])
@pytest.mark.parametrize("size", ["tiny", "small"])
def test_each_model_reads_the_documents_features(kind: Any, size: Any) -> None:
    torch.manual_seed(1)
    model = build_audio_model(kind, size, shape=(3, 40, 130), num_classes=5, dropout=0.0)
    assert isinstance(model, AudioCNN if kind == "cnn" else AudioViT)
    x = torch.randn(2, 3, 40, 130)
    model.eval()
    logits = model(x)
    assert logits.shape == (2, 5)
    torch.testing.assert_close(model(x[:1]), logits[:1], atol=1e-5, rtol=1e-4)
    logits[0, 2].backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_the_rectifier_after_the_maximum_is_the_one_before_it() -> None:
    """Of a network in the order one would expect, channels outermost: the same numbers, and the same gradients."""
    torch.manual_seed(1)
    model = build_audio_model("cnn", "tiny", shape=(3, 40, 130), num_classes=5, dropout=0.0)
    assert isinstance(model, AudioCNN)
    x = torch.randn(4, 3, 40, 130)
    h = x
    for convolution, norm, *_ in model.body:  # type: ignore[misc]
        h = torch.nn.functional.max_pool2d(torch.relu(norm(convolution(h))), 2)
    expected = model.head(torch.cat([h.mean((2, 3)), h.amax((2, 3))], 1))
    logits = model(x)
    torch.testing.assert_close(logits, expected, atol=1e-5, rtol=1e-4)
    first = model.body[0][0].weight  # type: ignore[index]
    ours, theirs = (torch.autograd.grad(each.square().sum(), first)[0] for each in (logits, expected))
    torch.testing.assert_close(ours, theirs, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("kind", ["cnn", "vit"])
def test_every_parameter_lies_in_one_part(calls: Path, kind: Any) -> None:
    train = load(calls.parent, source=calls.name).folds[0].train
    network = RECIPE.fresh(AudioOptions(model=AudioModelOptions(kind=kind)), train, {})
    parts = network.parts()
    found = [each for modules in parts.values() for module in modules for each in module.parameters()]
    assert set(parts) == {"backbone", "head"}
    assert len(found) == len(set(found)) == len(list(network.parameters()))


def test_phases_in_another_order_are_another_run(calls: Path) -> None:
    data = load(calls.parent, source=calls.name)
    free, held = {"until": {"share": 0.5}}, {"frozen": ["backbone"], "until": {"share": 0.5}}
    first, other = (
        build_run(RECIPE, AudioOptions(phases={"plan": plan}), data, seed=1).identity
        for plan in ({"a": free, "b": {}}, {"b": free, "a": {}})
    )
    assert first != other
    assert first == build_run(RECIPE, AudioOptions(phases={"plan": {"a": free, "b": {}}}), data, seed=1).identity
    assert first != build_run(RECIPE, AudioOptions(phases={"plan": {"a": held, "b": {}}}), data, seed=1).identity


def test_a_transformer_knows_where_it_looks() -> None:
    torch.manual_seed(1)
    model = build_audio_model("vit", "tiny", shape=(3, 40, 130), num_classes=5, dropout=0.0).eval()
    x = torch.randn(1, 3, 40, 130)
    assert not torch.allclose(model(x), model(x.roll(20, -1)), atol=1e-4)


@pytest.mark.parametrize("kind", ["cnn", "vit"])
def test_features_that_are_too_small_are_refused(kind: Any) -> None:
    with pytest.raises(ValueError, match="small"):
        build_audio_model(kind, "tiny", shape=(3, 6, 6), num_classes=2, dropout=0.0)


def test_a_training_goes_on_bit_for_bit(calls: Path, tmp_path: Path) -> None:
    data = load(calls.parent, source=calls.name)
    options = AudioOptions(
        epochs=3, augment={"masks": {"probability": 0.5}, "mixup": {"probability": 0.5, "skip_rare": False}}
    )
    whole = [each.health["loss/class"] for each in TASK.train(options, seed=1, checkpoint=tmp_path / "a", data=data)]
    first = TASK.train(options, seed=1, checkpoint=tmp_path / "b", data=data)
    assert next(iter(first)).health["loss/class"] == whole[0]
    again = [each.health["loss/class"] for each in TASK.train(options, seed=1, checkpoint=tmp_path / "b", data=data)]
    assert again == whole


def test_class_weights_come_from_a_file_by_name(calls: Path, tmp_path: Path) -> None:
    (tmp_path / "weights.json").write_text(json.dumps({"sqrt": {"rare": 3, "low": 2, "high": 1}}), encoding="utf-8")
    data = load(tmp_path, source=str(calls), class_weights="weights.json", class_weights_key="sqrt")
    assert data.weights == {"high": 1.0, "low": 2.0, "rare": 3.0}
    for wrong, says in (({"a": -1}, "positive weights"), ([1, 2], "positive weights"), ({}, "positive weights")):
        (tmp_path / "weights.json").write_text(json.dumps(wrong), encoding="utf-8")
        with pytest.raises(DataMistakes, match=says):
            load(tmp_path, source=str(calls), class_weights="weights.json")
    (tmp_path / "weights.json").write_text("no json", encoding="utf-8")
    with pytest.raises(DataMistakes, match="no JSON can be read"):
        load(tmp_path, source=str(calls), class_weights="weights.json")


@pytest.mark.parametrize("order", [("high", "low", "rare"), ("rare", "low", "high")])
def test_each_class_keeps_its_weight_whatever_the_order_of_names(calls: Path, tmp_path: Path, order: Any) -> None:
    """1, 2 and 3 sum to the number of classes as a half, one and one and a half, in the order of the classes."""
    given = {"high": 1, "low": 2, "rare": 3}
    (tmp_path / "weights.json").write_text(json.dumps({name: given[name] for name in order}), encoding="utf-8")
    data = load(tmp_path, source=str(calls), class_weights="weights.json")
    assert data.class_names == ("high", "low", "rare")
    [learner] = build_run(RECIPE, AudioOptions(balance={"scheme": "explicit"}), data, seed=1).learners
    torch.testing.assert_close(learner.loss.settings.class_weights_K, torch.tensor([0.5, 1.0, 1.5]))


def test_damaged_files_are_left_out_or_refused(calls: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for take in range(6):
            (tmp_path / name / f"{take}.wav").write_bytes((calls / "low" / f"{take}.wav").read_bytes())
    (tmp_path / "a" / "2.wav").write_bytes(b"no sound")
    data = load(tmp_path, source=".", unreadable=0.1)
    assert list(data.skipped) == ["a/2.wav"]
    assert any("1 files could not be read" in sentence for sentence in TASK.remarks(data))
    with pytest.raises(DataMistakes, match=r"a/2\.wav: no sound can be read from it"):
        load(tmp_path, source=".", unreadable=0.05)


def test_one_class_and_a_source_that_is_none_are_refused(calls: Path, tmp_path: Path) -> None:
    (tmp_path / "low").mkdir()
    (tmp_path / "low" / "1.wav").write_bytes((calls / "low" / "1.wav").read_bytes())
    with pytest.raises(DataMistakes, match="every file is of the class low: there is nothing to tell apart"):
        load(tmp_path, source=".")
    with pytest.raises(DataMistakes, match="no such folder or table"):
        load(tmp_path, source="nowhere")
    with pytest.raises(ValidationError, match="must hold"):
        load(tmp_path, source=".", names="{take}.wav")


def test_the_long_tail_is_that_of_the_histogram() -> None:
    """Evenly spaced ranks, scaled to the largest: by hand for five classes of nine counts."""
    histogram = [1000, 500, 250, 100, 50, 20, 10, 5, 1]
    assert tail_counts(histogram, 5, largest=40, least=2) == (40, 10, 2, 2, 2)
    assert tail_counts(histogram[::-1], 9, largest=1000, least=1) == tuple(histogram)
    with pytest.raises(ValueError, match="no positive number"):
        tail_counts([0, 0], 2, largest=4, least=1)


@pytest.mark.skipif(not FSDD.is_dir(), reason="the recordings beside the checkout are not here")
def test_real_digits_in_a_long_tail() -> None:
    """60 classes by their names; untouched takes of each are tested on."""
    tail_of = {"counts": str(FSDD / "class_counts.json"), "key": "audio_species_counts", "largest": 10, "test": 2}
    data = load(
        FSDD, source="fsdd/recordings", names="{class}_{take}.wav", long_tail=tail_of, test_share=0, rare_most=5
    )
    [fold] = data.folds
    assert fold.test is not None
    counts = fold.train.counts() + fold.val.counts()
    assert len(counts) == 60
    assert counts[0] == counts.max() == 10
    assert counts.min() == 2
    assert (np.diff(counts) <= 0).all()
    assert fold.test.counts().tolist() == [2] * 60
    names = [set(part.name.tolist()) for part in (fold.train, fold.val, fold.test)]
    assert len(set.union(*names)) == sum(map(len, names))


def test_simulated_calls_say_so_and_fall_into_a_tail() -> None:
    data = load(Path(), source="simulated", classes=4, largest=10, smallest=3, test=2)
    [fold] = data.folds
    assert fold.test is not None
    assert (fold.train.counts() + fold.val.counts()).tolist() == list(tail(4, 10, 3)) == [10, 7, 4, 3]
    assert fold.test.counts().tolist() == [2] * 4
    assert "simulated" in TASK.remarks(data)[0]
    assert not {name.split("/")[-1] for name in fold.test.name} & {name.split("/")[-1] for name in fold.train.name}


def test_calls_of_one_kind_are_alike_and_no_two_the_same() -> None:
    call = kinds(5, seed=1)[2]
    one, other = (sound(call, np.random.default_rng(seed)) for seed in (1, 2))
    assert one.shape == (22_050,)
    assert abs(one).max() <= 1
    assert not np.allclose(one, other)
    assert np.array_equal(one, sound(call, np.random.default_rng(1)))


SLOW = (
    (0.0004, 0.0009, 5.369),
    (0.0004, 0.0012, 4.332),
    (0.0004, 0.0017, 4.193),
    (0.0004, 0.0014, 4.065),
    (0.0004, 0.0015, 4.088),
    (0.0035, 0.0014, 4.153),
    (0.0004, 0.0017, 3.984),
    (0.0004, 0.0017, 4.060),
    (0.0049, 0.0022, 3.961),
    (0.0007, 0.0024, 3.967),
    (0.0006, 0.0017, 3.897),
    (0.0018, 0.0018, 3.988),
    (0.0039, 0.0022, 3.905),
    (0.0076, 0.0027, 3.818),
    (0.0059, 0.0034, 3.782),
    (0.0111, 0.0046, 3.658),
    (0.0323, 0.0051, 3.733),
    (0.0318, 0.0060, 3.615),
    (0.0395, 0.0085, 3.402),
    (0.0253, 0.0090, 3.342),
    (0.0592, 0.0113, 3.303),
    (0.0752, 0.0126, 3.117),
)
"""Macro-F1, spread of the probabilities and class loss of the first epochs of a run on the digits, on balanced
batches and with balanced weights, that ended at a validation macro-F1 of 0.37 (always the majority: 0.003)."""


def test_a_slow_run_of_many_classes_is_left_to_learn() -> None:
    """The rules of search_spaces/audio.yaml; those of few classes and long epochs would have stopped it."""
    reports = [
        EpochReport(
            epoch=number,
            phase="all",
            metrics={"val/class/f1_macro": f1, "val/class/probability_sd": spread, "val/class/largest_share": 0.5},
            health={"loss/class": loss},
            active={"class": number - 1},
        )
        for number, (f1, spread, loss) in enumerate(SLOW, 1)
    ]

    def stopped(health: HealthOptions) -> set[str]:
        judged = (judge(reports[:count], health, {"val/class/f1_macro": 0.003}, 50) for count in range(1, 23))
        return {verdict.rule for verdicts in judged for verdict in verdicts if verdict.level == "stop"}

    assert stopped(HealthOptions()) == {"class_collapse"}
    assert stopped(load_plan(SPACE).health) == set()
