"""Recordings drawn from trained weights: seeds, temperature, constraints, conditions, and who cannot."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from abr_tune.cli.data import app
from abr_tune.errors import UserError
from abr_tune.plan.config import load_config
from core.data.files import read
from core.data.recordings import Fold, Recordings
from core.data.tensors import as_batch
from core.diffusion import noised as right
from core.generation import (
    NoGenerator,
    as_conditions,
    as_recordings,
    generate_joint,
    generated_signals,
    sampled_denoising,
)
from core.metrics import Predictions
from core.models import denoiser
from core.models.joint import COLUMNS, LATENCY, LEVEL, Impossible
from core.tasks.abr import AbrTask
from core.tasks.abr_data import AbrDataset
from core.tasks.abr_options import AbrOptions
from core.tasks.abr_prediction import predict
from core.tasks.abr_weights import TrainedModel, load_model

TRAIN = {
    "epochs": 4,
    "batch_size": 16,
    "optimizer.lr": 0.005,
    "model.diffusion.enabled": True,
    "model.diffusion.drop_recording": 0.8,
    "model.diffusion.steps": 50,
    "model.diffusion.sampling_steps": 10,
    "optimizer.warmup_epochs": 0.0,
}


def nested(flat: dict[str, object]) -> dict[str, object]:
    tree: dict[str, object] = {}
    for path, value in flat.items():
        *above, name = path.split(".")
        branch = tree
        for each in above:
            branch = branch.setdefault(each, {})
        branch[name] = value
    return tree


def trained(recordings: Recordings, folder: Path, **changes: object) -> Path:
    data = AbrDataset(folds=(Fold(train=recordings, val=recordings.take(np.arange(40))),), fingerprint="b", rare=())
    options = AbrOptions.model_validate(nested(TRAIN | changes))
    reports = list(AbrTask().train(options, seed=3, checkpoint=folder, data=data))
    return folder / f"epoch-{reports[-1].epoch:06d}"


@pytest.fixture(scope="module")
def folder(bump_recordings, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("generator")
    # JSON is YAML.
    (folder / "config.yaml").write_text(json.dumps({"task": "abr", "train": TRAIN}), encoding="utf-8")
    return trained(bump_recordings(160), folder)


@pytest.fixture(scope="module")
def model(folder) -> TrainedModel:
    return load_model(folder / "model.safetensors")


def test_the_same_seed_gives_the_same_recordings(model) -> None:
    torch.manual_seed(1)
    first = generate_joint(model, 30, seed=5)
    torch.manual_seed(2)
    again, other = generate_joint(model, 30, seed=5), generate_joint(model, 30, seed=6)
    assert np.array_equal(first.signal, again.signal)
    np.testing.assert_array_equal(first.parameters.values, again.parameters.values)
    assert not np.array_equal(first.signal, other.signal)
    assert len(first.parameters) == 30
    assert first.signal.shape == (30, 200)


def test_temperature_scales_the_spread_of_the_signals(model) -> None:
    alike = {
        name: float(np.nanmedian(generate_joint(model, 50).parameters.values[:, i])) for i, name in enumerate(COLUMNS)
    }

    def spread(temperature: float) -> float:
        signal = generate_joint(model, 64, temperature, seed=1, condition={"class": "SNİK", **alike}).signal
        return float(signal.std(0).mean())

    assert spread(0.0) < 1e-6
    assert spread(0.5) < 0.8 * spread(1.0) < 0.8 * spread(1.5)


def test_constraints_hold_for_every_sample(model, bump_recordings) -> None:
    drawn, wild = (generate_joint(model, 100, 8.0, constrained) for constrained in (True, False))
    largest = np.abs(bump_recordings(160).clean).max()
    assert model.networks[0].diffusion.joint.lawful(drawn.parameters).all()
    assert np.abs(drawn.signal).max() <= largest * (1 + 1e-6)
    assert np.abs(wild.signal).max() > largest


def test_the_condition_matters(model) -> None:
    parameters = generate_joint(model, 20, seed=2, condition={"peak_latency_ms": 5.0}).parameters
    assert set(parameters.values[:, LATENCY]) == {5.0}
    drawn = []
    for latency in (5.0, 9.0):
        parameters.values[:, LATENCY] = latency
        generator = torch.Generator().manual_seed(0)
        drawn.append(generated_signals(model.networks[0], as_conditions(parameters, 200), generator=generator))
    # The noise and all else are the same. That the wave comes later takes a longer training: benchmarks/generation.py.
    assert ((drawn[0] - drawn[1]).abs().amax(1) > 1e-5).all()
    named = generate_joint(model, 20, condition={"class": "TOTAL", "peak_exist": False, "intensity_db_nhl": 50})
    assert set(named.parameters.hearing_class) == {3}
    assert set(named.parameters.values[:, LEVEL]) == {50.0}
    assert np.isnan(named.parameters.values[:, LATENCY]).all()


def test_guidance_is_read(model) -> None:
    diffusion = model.networks[0].diffusion
    own, drawn = diffusion.options, {}
    for scale in (0.0, 1.0, 3.0):
        diffusion.options = own.model_copy(update={"guidance": scale})
        drawn[scale] = generate_joint(model, 20, seed=4).signal
    diffusion.options = own
    assert np.array_equal(drawn[1.0], generate_joint(model, 20, seed=4).signal)
    assert np.abs(drawn[0.0] - drawn[1.0]).max() > 1e-4
    assert np.abs(drawn[3.0] - drawn[1.0]).max() > 1e-4


def test_denoising_is_deterministic_and_a_sample_of_it_is_not_its_mean(model, bump_recordings) -> None:
    recordings = bump_recordings(40, seed=9)
    first, again = predict(model, recordings), predict(model, recordings)
    assert isinstance(first, Predictions)
    assert np.array_equal(first.signal, again.signal)
    batch, generator = as_batch(recordings), torch.Generator().manual_seed(0)
    samples = torch.stack([sampled_denoising(model.networks[0], batch, generator=generator) for _ in range(2)])
    assert samples.isfinite().all()
    assert not torch.equal(samples[0], samples[1])


def test_unusable_weights_and_requests_are_refused(model, bump_recordings, tmp_path) -> None:
    with pytest.raises(ValueError, match="peak_latency is no parameter: class, peak_exist, age_years"):
        generate_joint(model, 5, condition={"peak_latency": 5.0})
    with pytest.raises(ValueError, match="normal is no class of the model: NORMAL"):
        generate_joint(model, 5, condition={"class": "normal"})
    with pytest.raises(Impossible, match="outside the training labels"):
        generate_joint(model, 5, condition={"intensity_db_nhl": 140})
    with pytest.raises(ValueError, match="batch size of at least 1"):
        generate_joint(model, 0)
    plain = load_model(
        trained(bump_recordings(48), tmp_path / "a", **{"model.diffusion.enabled": False, "epochs": 1})
        / "model.safetensors"
    )
    with pytest.raises(NoGenerator, match=r"train with model\.diffusion\.enabled: true"):
        generate_joint(plain, 5)
    sizeless = replace(
        model,
        about=replace(
            model.about,
            options=AbrOptions.model_validate(nested(TRAIN | {"model.signal_scale": "per_recording"})),
        ),
    )
    with pytest.raises(NoGenerator, match="size is lost"):
        generate_joint(sizeless, 5)


def test_diffusion_needs_truths(bump_recordings, tmp_path) -> None:
    with pytest.raises(ValueError, match=r"model\.diffusion has nothing to learn"):
        trained(replace(bump_recordings(48), clean=None), tmp_path)


def test_interrupted_training_goes_on_to_the_same_weights(bump_recordings, tmp_path) -> None:
    recordings = bump_recordings(32)
    data = AbrDataset(folds=(Fold(train=recordings, val=recordings),), fingerprint="b", rare=())
    options = AbrOptions.model_validate(nested(TRAIN | {"epochs": 2}))

    def train(folder: Path, epochs: int) -> None:
        run = AbrTask().train(options, seed=3, checkpoint=folder, data=data)
        for report in run:
            if report.epoch == epochs:
                run.close()

    train(tmp_path / "whole", 2)
    train(tmp_path / "parts", 1)
    train(tmp_path / "parts", 2)
    whole, parts = (
        load_model(tmp_path / name / "epoch-000002" / "model.safetensors").networks[0].state_dict()
        for name in ("whole", "parts")
    )
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_the_example_of_the_documentation_is_a_training(tmp_path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "generation.md").read_text(encoding="utf-8")
    [example] = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    (tmp_path / "generator.yaml").write_text(example, encoding="utf-8")
    options = load_config(tmp_path / "generator.yaml").options
    assert options.model.diffusion.enabled
    assert options.loss.weights.signal > 0


def test_what_is_not_finite_in_diffusion_is_found_at_its_step(bump_recordings, tmp_path, monkeypatch) -> None:
    calls = []

    def wrong(clean, noise, keep):
        calls.append(None)
        return right(clean, noise, keep) * (torch.inf if len(calls) == 2 else 1)

    monkeypatch.setattr(denoiser, "noised", wrong)
    recordings = bump_recordings(48)
    data = AbrDataset(folds=(Fold(train=recordings, val=recordings),), fingerprint="b", rare=())
    options = AbrOptions.model_validate(nested(TRAIN | {"epochs": 1}))
    first = next(iter(AbrTask().train(options, seed=3, checkpoint=tmp_path, data=data)))
    assert not first.complete
    assert first.evidence["what"] == "loss"
    assert first.evidence["term"] == "signal"
    assert first.evidence["step"] == 2


def test_a_table_of_them_says_what_it_is(model, tmp_path) -> None:
    table = as_recordings(generate_joint(model, 50, seed=1), model, seed=1)
    assert table.origin == "generated"
    assert table.notes[0].startswith("Generated by a trained model, not recorded")
    assert all(patient.startswith("generated-") for patient in table.patient)
    # 1.52 uV a sweep over about 3,000 sweeps: around 28 nV.
    assert 0.01 < (table.signal - table.clean).std() < 0.1


def test_the_command_writes_them(folder, tmp_path) -> None:
    def call(*arguments: object):
        return CliRunner().invoke(app, ["make", *map(str, arguments), "--to", str(tmp_path / "made.npz")])

    done = call("--from", folder, "--recordings", 20, "--temperature", 0.8, "--condition", "class=TOTAL", "--seed", 3)
    assert done.exit_code == 0, done.exception
    assert "wrote" in done.stderr
    assert "20 recordings generated by" in done.stderr
    made = read(tmp_path / "made.npz")
    assert len(made) == 20
    assert set(made.hearing_class) == {3}
    assert made.origin == "generated"
    card = CliRunner().invoke(app, ["describe", str(tmp_path / "made.npz")])
    assert "Generated by a trained model, not recorded" in card.stdout

    for arguments, message in {
        ("--from", folder, "--train", 5): "--train is for simulated recordings, not --from",
        ("--recordings", 5): "--recordings is for recordings generated --from a model",
        ("--from", folder, "--condition", "class"): "expected NAME=VALUE",
        ("--from", folder, "--condition", "age_years=old"): "old is not a number",
        ("--from", folder, "--condition", "age=3"): "age is no parameter",
    }.items():
        refused = call(*arguments)
        assert isinstance(refused.exception, UserError), refused.output
        assert message in str(refused.exception)
