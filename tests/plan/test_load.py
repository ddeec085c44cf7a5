"""Space files become plans."""

import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

from abr_tune.errors import Problem
from abr_tune.plan.describe import describe_plan
from abr_tune.plan.distributions import Choice, IntRange, Range
from abr_tune.plan.load import load_plan
from abr_tune.plan.methods import PRUNERS, SAMPLERS
from abr_tune.plan.notes import notes
from abr_tune.plan.ordered import OrderedList, OrderedPair, Simplex
from abr_tune.plan.overrides import resolve
from abr_tune.plan.plan import (
    Bound,
    Budget,
    Confirm,
    Constraint,
    Criterion,
    Limits,
    Plan,
    Pruner,
    Resources,
    Sampler,
    StartPoint,
    Stop,
)
from abr_tune.plan.schema import AUDIT
from abr_tune.plan.space import Condition, Guess, Parameter
from abr_tune.plan.spread import DISTRIBUTIONS
from abr_tune.plan.stages import names_stages
from abr_tune.plan.start import outside
from abr_tune.plan.yaml import dump, parse
from core.tasks import TASKS, Objective

ROOT = Path(__file__).parents[2]
SPACES = [file for file in sorted((ROOT / "search_spaces").glob("*.yaml")) if not names_stages(file)]
assert SPACES, "no search space was found to check"

Small = Callable[..., Path]
Mistakes = Callable[..., tuple[Problem, ...]]


@pytest.mark.parametrize("file", SPACES, ids=lambda file: file.stem)
def test_shipped_spaces_are_read_and_all_they_propose_can_be_trained(file: Path) -> None:
    plan = load_plan(file)
    assert plan.name == file.stem
    assert plan.space.paths
    draw = random.Random(3)
    for _ in range(100):
        values = plan.space.propose(lambda side: side.at(draw.random()))
        resolve(plan.task.options, {**plan.train, **values})
    for point in plan.start_from:
        resolve(plan.task.options, {**plan.train, **point.values})


def test_phase1_is_the_plan_of_the_documents() -> None:
    plan = load_plan(ROOT / "search_spaces" / "phase1.yaml")
    assert plan.task is TASKS["abr"]
    assert plan.objective == Objective("val/class/f1_macro", "maximize")
    assert {"collapsed baseline", "emergency fixes", "cataract clamp"} <= {point.name for point in plan.start_from}
    assert Criterion("val/class/f1_macro", Bound(">", 0.4), Bound(">", 0.3)) in plan.gate


def test_everything_written_arrives(small: Small) -> None:
    plan = load_plan(
        small(
            """
  # the rest of a complete file
about: for a test
objective: {minimize: val/threshold/mae_db}
start_from:
  - {name: by hand, optimizer.lr: 1e-4, loss: {class_loss: focal}}
  - {optimizer.lr: 1}
health: {class_collapse: {patience: 4}, gradient_explosion: off, class_absent: null, literal_one_class: {}}
pruner: {median: {startup_trials: 7}}
sampler: random
confirm: {top: 1}
gate: {val/peak/within_0.1_ms: {go: ">= .5", investigate: "> 1e-1", by_epoch: 2}}
resources: {cpus: 2, gpus: 0.5}
seed: 11
""",
            budget=("{trials: 4}", "{trials: 4, time: 1h 30m}"),
        )
    )
    assert (plan.name, plan.about, plan.seed, plan.task_name) == ("small", "for a test", 11, "abr")
    assert plan.data.train == 300
    assert dict(plan.train) == {"epochs": 3, "device": "cuda"}
    assert plan.space.parameters == (
        Parameter("optimizer.lr", Range(1e-5, 3e-3, log=True)),
        Parameter("loss.class_loss", Choice(("cross_entropy", "focal"))),
    )
    assert plan.start_from == (
        StartPoint("by hand", {"optimizer.lr": 1e-4, "loss.class_loss": "focal"}),
        StartPoint("start 2", {"optimizer.lr": 1}),
    )
    assert outside(plan) == {"start 2": ("optimizer.lr: 1 is outside 1e-05 to 0.003",)}
    assert plan.objective == Objective("val/threshold/mae_db", "minimize")
    profile = TASKS["abr"].health
    assert plan.health == profile.model_copy(
        update={
            "class_collapse": profile.class_collapse.model_copy(update={"patience": 4}),
            "gradient_explosion": None,
            "class_absent": None,
            "literal_one_class": type(plan.health.literal_one_class)(),
        }
    )
    assert plan.pruner == Pruner(kind="median", startup_trials=7)
    assert plan.sampler == Sampler(kind="random")
    assert plan.budget == Budget(trials=4, seconds=5400.0)
    assert plan.confirm == Confirm(top=1, seeds=3)
    assert plan.gate == (Criterion("val/peak/within_0.1_ms", Bound(">=", 0.5), Bound(">", 0.1), 2),)
    assert plan.resources == Resources(cpus=2, gpus=0.5)


def test_everything_of_the_complete_search_arrives(small: Small) -> None:
    plan = load_plan(
        small(
            """
objective: [{maximize: val/class/f1_macro}, {minimize: val/threshold/mae_db}]
constraints: {val/peak/exist_auroc: "> 0.8", val/class/predicted_classes: "== 5"}
limits: {time: 5m, memory: 2GiB}
stop: {no_improvement: 15}
audit: 0.1
""",
            budget=("{trials: 4}", "{trials: 4, epochs: 200}"),
            search=("log: [1e-5, 3e-3]", "log: [1e-5, 3e-3], guess: 1e-4, confidence: high, points: 4"),
        )
    )
    assert plan.objectives == (Objective("val/class/f1_macro"), Objective("val/threshold/mae_db", "minimize"))
    assert plan.objective == plan.objectives[0]
    assert plan.constraints == (
        Constraint("val/peak/exist_auroc", Bound(">", 0.8)),
        Constraint("val/class/predicted_classes", Bound("==", 5)),
    )
    assert (plan.limits, plan.stop) == (Limits(seconds=300.0, bytes=2 * 1024**3), Stop(no_improvement=15))
    assert (plan.audit, plan.budget) == (0.1, Budget(trials=4, epochs=200))
    assert plan.space.parameters[0] == Parameter(
        "optimizer.lr", Range(1e-5, 3e-3, log=True), guess=Guess(1e-4, "high"), points=4
    )
    assert plan.space.guesses == {"optimizer.lr": (1e-4, "high")}
    described = describe_plan(plan)
    assert described["objective"] == [{"maximize": "val/class/f1_macro"}, {"minimize": "val/threshold/mae_db"}]
    assert described["constraints"] == {"val/peak/exist_auroc": "> 0.8", "val/class/predicted_classes": "== 5.0"}
    assert described["limits"] == {"time": 300.0, "memory": 2 * 1024**3}
    assert (described["stop"], described["audit"], described["from"]) == ({"no_improvement": 15}, 0.1, None)
    assert described["search"]["optimizer.lr"] == {
        "log": [1e-5, 3e-3],
        "points": 4,
        "guess": 1e-4,
        "confidence": "high",
    }


GUESSES = {
    "model.dropout": ("{uniform: [0, 0.5], guess: 0.1}", 0.1),
    "optimizer.lr": ("{log: [1e-5, 3e-3], guess: 1e-4}", 1e-4),
    "batch_size": ("{int: [16, 64], guess: 32}", 32),
    "model.inputs": ("{choice: [[signal], [signal, age]], guess: [signal, age]}", ["signal", "age"]),
    "balance.clamp": (
        "{ordered: {low: [0.2, 2], high: [1, 6]}, guess: {low: 0.75, high: 1.5}}",
        {"low": 0.75, "high": 1.5},
    ),
    "phases.boundaries": ("{ordered: {count: 3, within: [0, 0.9]}, guess: [0, 0.2, 0.4]}", [0, 0.2, 0.4]),
    "loss.weights": ("{simplex: [class, signal], guess: {class: 0.8, signal: 0.2}}", {"class": 0.8, "signal": 0.2}),
}


def test_a_guess_works_for_every_distribution(small: Small) -> None:
    entries = "".join(f"  {path}: {entry}\n" for path, (entry, _) in GUESSES.items())
    plan = load_plan(small(search=("  optimizer.lr: {log: [1e-5, 3e-3]}\n", entries)))
    told = {item.path: item.guess for item in plan.space.parameters if item.guess}
    assert told == {path: Guess(value, "medium") for path, (_, value) in GUESSES.items()}
    raw = {name: value for name, (value, _) in plan.space.guesses.items()}
    again = plan.space.propose(lambda side: raw.get(side.name, "focal"))
    for path, (_, value) in GUESSES.items():
        assert again[path] == pytest.approx(value) if path != "model.inputs" else again[path] == value


def test_none_may_be_a_guess(small: Small) -> None:
    clamp = "  balance.clamp: {choice: [null, {low: 0.5, high: 2}], guess: null}\n\nbudget"
    plan = load_plan(small(search=("\nbudget", clamp)))
    assert plan.space.parameters[-1].guess == Guess(None, "medium")
    plan = load_plan(small(search=("\nbudget", clamp.replace(", guess: null", ""))))
    assert plan.space.parameters[-1].guess is None


SETTINGS: dict[str, dict[str, dict[str, object]]] = {
    "pruner": {
        "none": {},
        "median": {"startup_trials": 2, "min_epochs": 2},
        "successive_halving": {"promote": False, "reduction": 3, "min_epochs": 2},
        "hyperband": {"promote": False, "reduction": 3, "min_epochs": 2},
        "screening": {"keep": 0.25, "min_epochs": 2},
    },
    "sampler": {
        "tpe": {"startup_trials": 2, "random_share": 0.3},
        "optuna_tpe": {"startup_trials": 2},
        "gp": {"startup_trials": 2},
        "cmaes": {"startup_trials": 2},
        "nsga2": {},
        "random": {},
        "qmc": {},
        "grid": {},
    },
}


@pytest.mark.parametrize(("key", "kind"), [(key, kind) for key, kinds in SETTINGS.items() for kind in kinds])
def test_every_pruner_and_sampler_is_read_with_the_settings_it_has(small: Small, key: str, kind: str) -> None:
    settings = SETTINGS[key][kind]
    numbers = "  optimizer.lr: {log: [1e-5, 3e-3], points: 3}\n  model.dropout: {uniform: [0, 0.5], points: 2}\n"
    search = ("  optimizer.lr: {log: [1e-5, 3e-3]}\n", numbers)
    plan = load_plan(small(dump({key: {kind: settings}}), search=search))
    expected = (Pruner if key == "pruner" else Sampler)(kind=kind, **settings)  # type: ignore[arg-type]
    assert getattr(plan, key) == expected
    assert getattr(load_plan(small(f"{key}: {kind}\n", search=search)), key).kind == kind
    table = PRUNERS if key == "pruner" else SAMPLERS
    assert set(table[kind].model_fields) == set(settings)


def test_wilcoxon_is_for_tasks_that_report_folds_or_seeds(write: Callable[[str], Path], own: str) -> None:
    plan = load_plan(write(OWN.format(module=own) + "pruner: {wilcoxon: {p_value: 0.2}}\n"), trust_code=True)
    assert plan.pruner == Pruner(kind="wilcoxon", p_value=0.2)
    assert (
        notes(plan)[-1] == "wilcoxon: each report is one fold or seed, and a trial's value is the mean over its reports"
    )


@pytest.mark.parametrize(
    ("written", "size"),
    [
        ("2GiB", 2 * 1024**3),
        ("1.5 GiB", 3 * 512 * 1024**2),
        ("500MB", 500_000_000),
        ("6400kb", 6_400_000),
        ("1 TiB", 1024**4),
        ("3000000 B", 3_000_000),
        ("1048576", 1048576),
        ("1e9", 10**9),
    ],
)
def test_sizes(small: Small, written: str, size: int) -> None:
    assert load_plan(small(f"limits: {{memory: {written}}}\n")).limits == Limits(bytes=size)


def test_what_is_omitted_has_its_documented_default(small: Small) -> None:
    plan = load_plan(small())
    task = TASKS["abr"]
    assert (plan.objective, plan.health) == (task.objective, task.health)
    assert (plan.pruner, plan.sampler, plan.confirm, plan.resources) == (Pruner(), Sampler(), Confirm(), Resources())
    assert (plan.budget, plan.gate, plan.start_from, plan.seed) == (Budget(trials=4), (), (), 0)
    assert (plan.constraints, plan.limits, plan.stop, plan.since) == ((), Limits(), Stop(), None)
    assert (plan.audit, len(plan.objectives), plan.space.guesses) == (AUDIT, 1, {})


def test_every_distribution_is_read(small: Small) -> None:
    plan = load_plan(
        small(
            search=(
                "  optimizer.lr: {log: [1e-5, 3e-3]}\n",
                """\
  optimizer.lr: {log: [1e-5, 3e-3]}
  model.dropout: {uniform: [0, 0.5]}
  batch_size: {int: [16, 128], log: true}
  optimizer.accumulate: {int: [1, 8]}
  model.inputs: {choice: [[signal], [signal, age]]}
  balance.clamp: {ordered: {low: [0.2, 2], high: [1, 6]}}
  phases.boundaries: {ordered: {count: 3, within: [0.1, 0.9]}}
  loss.weights: {simplex: [class, signal]}
  loss.focal.gamma: {uniform: [0, 4], when: {loss.class_loss: focal, optimizer.accumulate: [1, 2]}}
""",
            )
        )
    )
    spread = {item.path: item.distribution for item in plan.space.parameters}
    assert spread["model.dropout"] == Range(0, 0.5)
    assert spread["batch_size"] == IntRange(16, 128, log=True)
    assert spread["optimizer.accumulate"] == IntRange(1, 8)
    assert spread["model.inputs"] == Choice((["signal"], ["signal", "age"]))
    assert spread["balance.clamp"] == OrderedPair((0.2, 2), (1, 6))
    assert spread["phases.boundaries"] == OrderedList(3, (0.1, 0.9))
    assert spread["loss.weights"] == Simplex(("class", "signal"))
    gamma = next(item for item in plan.space.parameters if item.path == "loss.focal.gamma")
    assert gamma.when == (Condition("loss.class_loss", ("focal",)), Condition("optimizer.accumulate", (1, 2)))
    values = plan.space.propose(lambda side: side.at(0.5))
    options = resolve(plan.task.options, {**plan.train, **values})
    assert options.model_dump()["loss"]["weights"]["threshold"] == 1.0  # not in the simplex: its default stands
    assert {type(item) for item in spread.values()} == {Range, IntRange, Choice, OrderedPair, OrderedList, Simplex}
    assert set(DISTRIBUTIONS) == {"uniform", "log", "int", "choice", "ordered", "simplex"}


def test_nested_and_dotted_keys_of_train_mean_the_same(small: Small) -> None:
    dotted = load_plan(small(train=("  epochs: 3\n", "  epochs: 3\n  balance.clamp.low: 0.5\n  loss.focal.gamma: 1\n")))
    nested = load_plan(
        small(train=("  epochs: 3\n", "  epochs: 3\n  balance: {clamp: {low: 0.5}}\n  loss:\n    focal.gamma: 1\n"))
    )
    expected = {"epochs": 3, "balance.clamp.low": 0.5, "loss.focal.gamma": 1, "device": "cpu"}
    assert dict(dotted.train) == dict(nested.train) == expected


def test_a_searched_path_overrides_a_fixed_one(small: Small) -> None:
    plan = load_plan(small(train=("  epochs: 3\n", "  epochs: 3\n  optimizer.lr: 0.5\n")))
    assert "optimizer.lr" not in plan.train
    assert "optimizer.lr" in plan.space.paths


def test_a_fixed_value_stands_while_its_conditional_search_is_off(small: Small) -> None:
    searched = "  loss.focal.gamma: {uniform: [0, 4], when: {loss.class_loss: focal}}\n\nbudget"
    plan = load_plan(
        small(train=("  epochs: 3\n", "  epochs: 3\n  loss.focal.gamma: 3\n"), search=("\nbudget", searched))
    )
    assert plan.train["loss.focal.gamma"] == 3


GAMMA = ("\nbudget", "  loss.focal.gamma: {uniform: [0, 4], when: {loss.class_loss: focal}}\n\nbudget")


def test_set_changes_keys_fixed_options_and_distributions(small: Small) -> None:
    plan = load_plan(
        small(search=GAMMA),
        overrides=(
            "budget.trials=9",
            "train.epochs=1e1",
            "loss.huber_delta=2",
            "search.optimizer.lr={uniform: [0.1, 0.2]}",
            "health.class_collapse.patience=5",
            "gate.val/peak/within_0.1_ms.go=> 0.5",
            "name=other",
            "data.train=50",
        ),
    )
    assert (plan.budget.trials, plan.train["epochs"], plan.train["loss.huber_delta"]) == (9, 10, 2)
    assert plan.space.parameters[0].distribution == Range(0.1, 0.2)
    assert plan.health.class_collapse.patience == 5
    assert plan.gate == (Criterion("val/peak/within_0.1_ms", Bound(">", 0.5)),)
    assert (plan.name, plan.data.train) == ("other", 50)


def test_set_reaches_what_stands_beside_a_distribution_and_metrics_with_dots(small: Small) -> None:
    plan = load_plan(
        small(),
        overrides=(
            "search.optimizer.lr.guess=1e-4",
            "search.optimizer.lr.confidence=high",
            "constraints.val/peak/within_0.1_ms=> 0.5",
            "limits.memory=1GiB",
            "objective=[{maximize: val/class/f1_macro}, {minimize: val/class/ece}]",
            "pruner.hyperband.reduction=2",
        ),
    )
    assert plan.space.parameters[0].guess == Guess(1e-4, "high")
    assert plan.constraints == (Constraint("val/peak/within_0.1_ms", Bound(">", 0.5)),)
    assert plan.limits == Limits(bytes=1024**3)
    assert len(plan.objectives) == 2
    assert plan.pruner == Pruner(kind="hyperband", reduction=2)


@pytest.mark.parametrize("key", ["loss.class_loss", "train.loss.class_loss", "search.loss.class_loss"])
def test_set_on_a_searched_path_fixes_it_and_settles_what_depends_on_it(small: Small, key: str) -> None:
    start = "start_from:\n  - {name: x, loss.class_loss: focal, loss.focal.gamma: 1}\n"
    off = load_plan(small(start, search=GAMMA), overrides=(f"{key}=cross_entropy",))
    assert off.space.paths == ("optimizer.lr",)
    assert off.train["loss.class_loss"] == "cross_entropy"
    assert off.start_from == (StartPoint("x", {}),)
    on = load_plan(small(start, search=GAMMA), overrides=(f"{key}=focal",))
    assert [(item.path, item.when) for item in on.space.parameters] == [("optimizer.lr", ()), ("loss.focal.gamma", ())]
    assert on.start_from == (StartPoint("x", {"loss.focal.gamma": 1}),)


def test_set_replaces_a_nested_fixed_value(small: Small) -> None:
    file = small(train=("  epochs: 3\n", "  epochs: 3\n  balance: {clamp: {low: 0.5, high: 2}, power: 2}\n"))
    plan = load_plan(file, overrides=("balance.clamp.low=0.1", "balance.power=1"))
    changed = {"epochs": 3, "balance.clamp.high": 2, "balance.clamp.low": 0.1, "balance.power": 1}
    assert dict(plan.train) == changed | {"device": "cpu"}
    plan = load_plan(file, overrides=("balance.clamp=null",))
    assert resolve(plan.task.options, plan.train).model_dump()["balance"]["clamp"] is None


def test_named_arguments_go_over_the_file_and_over_set(small: Small) -> None:
    plan = load_plan(small(), overrides=("budget.trials=9",), name="n", trials=2, seconds="90s", seed=5)
    assert (plan.name, plan.budget, plan.seed) == ("n", Budget(trials=2, seconds=90.0), 5)
    assert load_plan(small(), seconds=1.5).budget.seconds == 1.5


def test_a_run_without_a_name_is_named_after_its_file(small: Small) -> None:
    assert load_plan(small(name=("name: small\n", ""))).name == "small"


def test_start_points_are_gathered_under_the_searched_path(small: Small) -> None:
    plan = load_plan(
        small(
            "start_from:\n  - {name: x, balance.clamp.low: 0.5, balance: {clamp.high: 2}, "
            "loss.weights.class: 1, loss.weights.signal: 0}\n",
            search=(
                "\nbudget",
                "  balance.clamp: {ordered: {low: [0.2, 1], high: [1, 6]}}\n"
                "  loss.weights: {simplex: [class, signal]}\n\nbudget",
            ),
        )
    )
    assert plan.start_from[0].values == {
        "balance.clamp": {"low": 0.5, "high": 2},
        "loss.weights": {"class": 1, "signal": 0},
    }
    assert plan.space.encode({**plan.start_from[0].values, "optimizer.lr": 1e-3, "loss.class_loss": "focal"})


TASK = """
from pydantic import BaseModel
from core.health import HealthOptions
from core.health.options import ClassCollapse
from core.tasks import Objective

class Options(BaseModel, frozen=True, extra="forbid"):
    lr: float
    hidden: int = 4

class Toy:
    name = "toy"
    options = Options
    objective = Objective("val/toy/loss", "minimize")
    health = HealthOptions(class_collapse=ClassCollapse(grace=7), class_absent=None)
    def train(self, options, *, seed, checkpoint):
        yield from ()
    def fingerprint(self, dataset):
        return "mine"

TOY = Toy()
WRONG = object()
"""
OWN = "task: {module}:TOY\nsearch: {{lr: {{log: [1e-3, 1]}}}}\nbudget: {{trials: 2}}\n"


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    module = f"toy_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{module}.py").write_text(TASK)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield module
    sys.modules.pop(module, None)


def test_a_task_of_ones_own_is_imported_from_beside_the_file_when_trusted(
    write: Callable[[str], Path], own: str
) -> None:
    plan = load_plan(write(OWN.format(module=own)), trust_code=True)
    assert plan.task_name == f"{own}:TOY"
    assert (plan.task.name, plan.data, plan.objective) == ("toy", None, Objective("val/toy/loss", "minimize"))
    assert (plan.task.fingerprint(None), plan.task.baselines(None)) == ("mine", {})
    assert resolve(plan.task.options, {"lr": 0.5}).model_dump() == {"lr": 0.5, "hidden": 4}


def test_health_changes_only_what_it_names_in_the_profile_of_the_task(write: Callable[[str], Path], own: str) -> None:
    text = (
        OWN.format(module=own) + "health: {class_collapse: {patience: 9}, class_absent: {grace: 1}, non_finite: {}}\n"
    )
    health = load_plan(write(text), trust_code=True).health
    assert health.class_collapse is not None
    assert (health.class_collapse.grace, health.class_collapse.patience) == (7, 9)
    assert health.class_absent is not None
    assert health.non_finite is not None


def test_a_task_of_ones_own_is_not_imported_without_trust(
    write: Callable[[str], Path], own: str, mistakes: Mistakes
) -> None:
    [problem] = mistakes(write(OWN.format(module=own)))
    assert problem.message == f"{own}:TOY is code of your own"
    assert problem.hint == "--trust-code imports it, which runs whatever stands in it"
    assert own not in sys.modules


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ("{own}:WRONG", "{own}:WRONG has no name, options, train"),
        ("{own}:TOYS", "{own} has no TOYS"),
        ("{own}_missing:TOY", "{own}_missing cannot be imported: ModuleNotFoundError: No module named '{own}_missing'"),
    ],
)
def test_what_is_no_task_is_refused(
    write: Callable[[str], Path], own: str, mistakes: Mistakes, task: str, message: str
) -> None:
    text = OWN.format(module=own).replace(f"{own}:TOY", task.format(own=own))
    [problem] = mistakes(write(text), trust_code=True)
    assert problem.message == message.format(own=own)


def test_an_option_without_a_default_must_be_fixed_or_searched(
    write: Callable[[str], Path], own: str, mistakes: Mistakes
) -> None:
    text = OWN.format(module=own).replace("lr: {log: [1e-3, 1]}", "hidden: {int: [1, 8]}")
    [problem] = mistakes(write(text), trust_code=True)
    assert problem.message == "lr is missing"


def test_a_described_plan_is_plain_and_tells_plans_apart(small: Small) -> None:
    described = describe_plan(load_plan(small("  # a comment changes nothing\n")))
    assert parse(dump(described), "x").data == described
    assert described == describe_plan(load_plan(small(train=("epochs: 3", "epochs:   3.0"))))
    assert described["train"]["optimizer"]["weight_decay"] == 0.01
    changed = describe_plan(load_plan(small(), overrides=("health.class_collapse.patience=9",)))
    assert {key for key in described if described[key] != changed[key]} == {"health"}


def test_a_described_space_reads_back_as_the_same_space(small: Small) -> None:
    plan = load_plan(ROOT / "search_spaces" / "phase1.yaml")
    described = describe_plan(plan)
    search = dump({"search": described["search"]})
    train = dump({"train": described["train"]})
    start = "search:\n  optimizer.lr: {log: [1e-5, 3e-3]}\n  loss.class_loss: {choice: [cross_entropy, focal]}\n"
    assert load_plan(small(train=("train:\n  epochs: 3\n", train), search=(start, search))).space == plan.space


def test_the_tables_are_total() -> None:
    assert set(PRUNERS) == set(get_args(get_type_hints(Pruner)["kind"]))
    assert set(SAMPLERS) == set(get_args(get_type_hints(Sampler)["kind"]))


def test_every_part_of_a_plan_is_described(small: Small) -> None:
    renamed = {"file": None, "task": None, "task_name": "task", "space": "search", "objectives": "objective"}
    renamed |= {"since": "from", "inherited": "train", "start": "from", "warnings": None}
    keys = {renamed.get(name, name) for name in Plan.__dataclass_fields__} - {None}
    assert set(describe_plan(load_plan(small()))) == keys


def test_reading_a_plan_imports_neither_torch_nor_ray_nor_optuna() -> None:
    code = (
        "import sys; from abr_tune.plan.load import load_plan; from abr_tune.plan.start import outside;"
        f"outside(load_plan({str(ROOT / 'search_spaces' / 'phase1.yaml')!r})); print(*sys.modules)"
    )
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    roots = {name.partition(".")[0] for name in loaded.split()}
    assert roots.isdisjoint({"torch", "ray", "optuna", "pandas", "sklearn", "scipy", "plotly", "pyarrow", "joblib"})
