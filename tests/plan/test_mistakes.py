"""Every mistake at once, where it stands, in words that help."""

from collections.abc import Callable
from pathlib import Path

import pytest

from abr_tune.errors import FileMistakes, Problem
from abr_tune.plan.load import load_plan
from abr_tune.plan.methods import PRUNERS, SAMPLERS
from abr_tune.plan.schema import SpaceFile
from core.tasks.abr_options import AbrOptions

Small = Callable[..., Path]
Mistakes = Callable[..., tuple[Problem, ...]]

PRUNER_NAMES = ", ".join(PRUNERS)
SEARCH = "  optimizer.lr: {log: [1e-5, 3e-3]}\n  loss.class_loss: {choice: [cross_entropy, focal]}\n"


def said(problem: Problem) -> str:
    return problem.message + (f" | {problem.hint}" if problem.hint else "")


def test_the_example_of_the_contract_letter_by_letter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ["name: phase1", "task: abr", "budget: {trials: 4}", *["#"] * 9, "search:"]
    lines.append("  optimizer.Ir:             {log: [1e-5, 3e-3]}")
    monkeypatch.chdir(tmp_path)
    Path("search_spaces").mkdir()
    Path("search_spaces/phase1.yaml").write_text("\n".join(lines) + "\n")
    with pytest.raises(FileMistakes) as caught:
        load_plan("search_spaces/phase1.yaml")
    assert str(caught.value) == (
        "search_spaces/phase1.yaml:14:3: error: optimizer.Ir is not a training option\n"
        "   14 |   optimizer.Ir:             {log: [1e-5, 3e-3]}\n"
        "      |   ^^^^^^^^^^^^ did you mean optimizer.lr?"
    )


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("optimizer.Ir: {log: [1, 2]}", "optimizer.Ir is not a training option | did you mean optimizer.lr?"),
        ("gamma: {log: [1, 2]}", "gamma is not a training option | did you mean loss.focal.gamma?"),
        ("model: {log: [1, 2]}", "model must be a mapping, not 1"),
        ("balance: {power: {log: [1, 2]}}", "balance is a group of options; name one of them, such as balance.scheme"),
        (
            "model.dropout: 0.3",
            "model.dropout needs a way to search it, such as {log: [1e-4, 1e-2]} | fix it under train instead?",
        ),
        (
            "model.dropout: {unifrom: [0, 1]}",
            "unifrom is not one of uniform, log, int, choice, ordered, simplex | did you mean uniform?",
        ),
        ("model.dropout: {}", "model.dropout must have one of uniform, log, int, choice, ordered, simplex"),
        ("batch_size: {int: [8, 64], log: maybe}", "log must be true or false beside int, not maybe"),
        ("model.dropout: {uniform: [0, 0.5], log: [1, 2]}", "model.dropout is spread in two ways: uniform and log"),
        ("model.dropout: {uniform: [0.5, 0.1]}", "the range is empty: it goes from 0.5 to 0.1"),
        ("model.dropout: {uniform: [0.5, 0.5]}", "the range is empty: it goes from 0.5 to 0.5"),
        ("model.dropout: {uniform: [0, 1.5]}", "model.dropout must be below 1, not 1.5"),
        ("model.dropout: {uniform: [-0.1, 0.5]}", "model.dropout must be at least 0, not -0.1"),
        ("model.dropout: {uniform: [0, a]}", "uniform[2] must be a number, not a"),
        ("model.dropout: {uniform: [0]}", "uniform[2] is missing"),
        ("model.dropout: {uniform: [0, .inf]}", "uniform[2] must be a finite number, not Infinity"),
        ("model.dropout: {uniform: [0, 0.5], wehn: {}}", "wehn is not a key of uniform | did you mean when?"),
        ("loss.huber_delta: {log: [0, 1]}", "log[1] must be above 0, not 0"),
        ("loss.huber_delta: {log: [1, .nan]}", "log[2] must be a finite number, not NaN"),
        ("epochs: {uniform: [1, 8]}", "epochs takes whole numbers only | {int: [1, 8]}?"),
        ("epochs: {int: [0, 8]}", "epochs must be at least 1, not 0"),
        ("epochs: {int: [1, 8.5]}", "int[2] must be a whole number, not 8.5"),
        ("epochs: {int: [0, 8], log: true}", "with log the range must begin at 1 or above, not at 0"),
        ("epochs: {choice: [2, many]}", "epochs must be a whole number, not many"),
        (
            "balance.scheme: {choice: [none, blanced]}",
            "balance.scheme must be none, balanced, sqrt, effective, explicit or dynamic, not blanced "
            "| did you mean balanced?",
        ),
        ("balance.scheme: {choice: []}", "choice must have at least 1 entries"),
        ("balance.scheme: {choice: [none, none]}", 'the choice names "none" twice'),
        (
            "balance.scheme: {uniform: [0, 1]}",
            "balance.scheme must be none, balanced, sqrt, effective, explicit or dynamic, not 0",
        ),
        ("balance.clamp: {ordered: {low: [0, 1], high: [1, 2]}}", "balance.clamp must be above 0, not 0"),
        ("balance.clamp: {ordered: {low: [3, 4], high: [1, 2]}}", "low begins at 3, above the end of high at 2"),
        (
            "balance.clamp: {ordered: {low: [0.2, 1], hihg: [1, 2]}}",
            "hihg is not a key of ordered | did you mean high?",
        ),
        ("balance.clamp: {uniform: [0.2, 1]}", "balance.clamp must be a mapping, not 0.2"),
        (
            "phases.boundaries: {ordered: {count: 3, within: [0.1, 1.9]}}",
            "phases.boundaries must be at most 1, not 1.9",
        ),
        ("phases.boundaries: {ordered: {count: 0, within: [0.1, 0.9]}}", "count must be at least 1, not 0"),
        ("phases.boundaries: {ordered: {count: 2, within: [0.1, 0.9]}}", "phases: 4 phases need 3 boundaries, not 2"),
        ("loss.weights: {simplex: [class, signl]}", "loss.weights has no signl | did you mean signal?"),
        ("loss.weights: {simplex: [class, class]}", "a name stands here twice"),
        (
            "model.dropout: {uniform: [0, 0.5], when: {loss.clas_loss: focal}}",
            "loss.clas_loss is not a searched path | did you mean loss.class_loss?",
        ),
        (
            "model.dropout: {uniform: [0, 0.5], when: {loss.class_loss: focl}}",
            "loss.class_loss is never focl; it is one of cross_entropy, focal | did you mean focal?",
        ),
        (
            "model.dropout: {uniform: [0, 0.5], when: {loss.class_loss: [focal, x]}}",
            "loss.class_loss is never x; it is one of cross_entropy, focal",
        ),
        (
            "model.dropout: {uniform: [0, 0.5], when: {epochs: 3}}",
            "epochs is not searched, so the condition never changes",
        ),
        (
            "model.dropout: {uniform: [0, 0.5], when: {optimizer.lr: 1e-4}}",
            "optimizer.lr takes values from a range; a condition needs a choice or whole numbers",
        ),
        ("model.dropout: {uniform: [0, 0.5], when: {model.dropout: 0.1}}", "model.dropout cannot depend on itself"),
        ("model.dropout: {uniform: [0, 0.5], guess: 0.7}", "guess: 0.7 is outside 0 to 0.5"),
        ("model.dropout: {uniform: [0, 0.5], guess: null}", "guess: null is not a number"),
        ("model.dropout: {uniform: [0, 0.5], guess: .nan}", "guess: nan is outside 0 to 0.5"),
        ("model.dropout: {uniform: [0, 0.5], gess: 0.1}", "gess is not a key of uniform | did you mean guess?"),
        (
            "model.dropout: {uniform: [0, 0.5], confidence: high}",
            "confidence says how sure a guess is; there is no guess",
        ),
        (
            "model.dropout: {uniform: [0, 0.5], guess: 0.1, confidence: hihg}",
            "confidence must be low, medium or high, not hihg | did you mean high?",
        ),
        (
            "balance.scheme: {choice: [none, balanced], guess: blanced}",
            "guess: blanced is not one of none, balanced | did you mean balanced?",
        ),
        ("batch_size: {int: [16, 64], guess: 24.5}", "guess: 24.5 is not a whole number"),
        (
            "balance.clamp: {ordered: {low: [0.2, 1], high: [1, 6]}, guess: {low: 1, high: 9}}",
            "guess: high 9 is outside 1 to 6",
        ),
        (
            "phases.boundaries: {ordered: {count: 3, within: [0, 0.9]}, guess: [0.5, 0.1, 0.2]}",
            "guess: [0.5, 0.1, 0.2] does not increase",
        ),
        (
            "loss.weights: {simplex: [class, signal], guess: {class: 0.7, signal: 0.7}}",
            "guess: the shares sum to 1.4, not to 1",
        ),
        (
            "loss.weights: {simplex: [class, signal], guess: {class: 0.7, signl: 0.3}}",
            "signl is not one of class, signal | did you mean signal?",
        ),
        (
            "balance.clamp: {ordered: {low: [0.2, 1], high: [1, 6]}, guess: {lwo: 1, high: 2}}",
            "lwo is not one of low, high | did you mean low?",
        ),
        ("balance.clamp: {ordered: {low: [0.2, 1], high: [1, 6]}, guess: 1}", "guess: 1 is not a pair of low and high"),
        (
            "model.dropout: {unifrom: [0, 0.5], guess: 0.1, points: 3}",
            "unifrom is not one of uniform, log, int, choice, ordered, simplex | did you mean uniform?",
        ),
        ("model.dropout: {uniform: [0, 0.5], points: 0}", "points must be at least 1, not 0"),
        ("balance.scheme: {choice: [none, balanced], points: 3}", "points is not a key of choice"),
    ],
)
def test_mistakes_under_search(small: Small, mistakes: Mistakes, entry: str, message: str) -> None:
    problems = mistakes(small(search=(SEARCH, f"{SEARCH}  {entry}\n")))
    assert said(problems[0]) == message
    assert problems[0].line == 11


def test_conditions_in_a_circle(small: Small, mistakes: Mistakes) -> None:
    circle = "  batch_size: {int: [1, 8], when: {optimizer.accumulate: 2}}\n"
    circle += "  optimizer.accumulate: {int: [1, 8], when: {batch_size: 2}}\n"
    [problem] = mistakes(small(search=(SEARCH, SEARCH + circle)))
    assert problem.message.startswith("conditions in a circle: ")


def test_a_path_inside_another_searched_one(small: Small, mistakes: Mistakes) -> None:
    both = "  loss.weights: {simplex: [class, signal]}\n  loss.weights.class: {uniform: [0, 1]}\n"
    [problem] = mistakes(small(search=(SEARCH, SEARCH + both)))
    assert (problem.message, problem.line) == ("loss.weights.class is already searched as part of loss.weights", 12)


def test_combinations_no_training_run_can_take_are_found_before_running(small: Small, mistakes: Mistakes) -> None:
    scheme = "  balance.scheme: {choice: [none, explicit]}\n"
    [problem] = mistakes(small(search=(SEARCH, SEARCH + scheme)))
    assert problem.message == "balance: scheme explicit needs weights: one number per class"
    assert problem.hint is not None
    assert problem.hint.endswith("for instance with balance.scheme: explicit")
    assert problem.line == 11
    weights = "  balance.weights: {choice: [[1, 2, 3, 4, 5]], when: {balance.scheme: explicit}}\n"
    assert load_plan(small(search=(SEARCH, SEARCH + scheme + weights))).space.paths


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("epochs: 0", "epochs must be at least 1, not 0"),
        ("epochs: ten", "epochs must be a whole number, not ten"),
        ('epochs: "3"', "epochs must be a whole number, not 3 | write it without quotes"),
        ('optimizer.lr: "1e-3"', "optimizer.lr must be a number, not 1e-3 | write it without quotes"),
        ("optimizer.lr: yes", "optimizer.lr must be a number, not yes"),
        ("model: {size: huge}", "model.size must be tiny, small or base, not huge"),
        ("model: {dropuot: 1}", "model.dropuot is not a training option | did you mean model.dropout?"),
        ("balance.weights: [1, 2, -3]", "balance.weights[3] must be above 0, not -3"),
        ("balance.clamp: {low: 3, high: 1}", "balance.clamp: low 3.0 is above high 1.0"),
        ("balance.scheme: explicit", "balance: scheme explicit needs weights: one number per class"),
        ("phases.boundaries: [0.1, 0.2]", "phases: 4 phases need 3 boundaries, not 2"),
        (
            "phases.order: [[class], [signl]]",
            "phases.order[2][1] must be signal, peak_exist, peak_latency, peak_amplitude, "
            "class or threshold, not signl | did you mean signal?",
        ),
    ],
)
def test_mistakes_under_train(small: Small, mistakes: Mistakes, entry: str, message: str) -> None:
    problems = mistakes(small(train=("  epochs: 3\n", f"  {entry}\n")))
    assert [said(problem) for problem in problems] == [message]
    assert problems[0].line == 6


def test_an_option_given_twice(small: Small, mistakes: Mistakes) -> None:
    [problem] = mistakes(small(train=("  epochs: 3\n", "  model.size: tiny\n  model: {size: small}\n")))
    assert (problem.message, problem.line, problem.column) == ("model.size is given twice", 7, 11)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("objective: {maximise: val/class/f1_macro}", "maximise is not a direction | did you mean maximize?"),
        ("objective: {}", "name one metric, under maximize or under minimize"),
        ("objective: {maximize: a/b/c, minimize: d}", "name one metric, under maximize or under minimize"),
        (
            "objective: {maximize: f1_macro}",
            "f1_macro is not a metric: names are <split>/<task>/<metric>, as val/class/f1_macro "
            "| did you mean val/class/f1_macro?",
        ),
        (
            "objective: {maximize: val/class/f1_marco}",
            "val/class/f1_marco is not a metric of this task | did you mean val/class/f1_macro?",
        ),
        (
            "objective: {maximize: test/class/f1_macro}",
            "test/class/f1_macro cannot be used: the test split is scored once, at the end "
            "| did you mean val/class/f1_macro?",
        ),
        ("objective: []", "objective names no metric"),
        (
            "objective: [{maximize: val/class/ece}, {minimize: val/class/ece}]",
            "val/class/ece is an objective already",
        ),
        (
            "objective: [{maximize: val/class/f1_macro}, {minimise: val/signal/mse}]",
            "minimise is not a direction | did you mean minimize?",
        ),
        (
            "objective: [{maximize: val/class/f1_macro}, {minimize: val/threshold/mae}]",
            "val/threshold/mae is not a metric of this task | did you mean val/threshold/mae_db?",
        ),
        ("objective: [{maximize: val/class/ece}, 3]", "objective[2] must be a mapping, not 3"),
        ("objective: val/class/ece", "objective must be a mapping, not val/class/ece"),
        ("health: {class_colapse: {}}", "class_colapse is not a health rule | did you mean class_collapse?"),
        ("health: {class_collapse: {patence: 2}}", "patence is not a key of class_collapse | did you mean patience?"),
        ("health: {class_collapse: {patience: 0}}", "patience must be at least 1, not 0"),
        ("health: {class_collapse: 3}", "class_collapse must be a mapping, not 3"),
        ("health: [class_collapse]", "health must be a mapping"),
        ("pruner: hyperbnad", f"hyperbnad is not a pruner; there are {PRUNER_NAMES} | did you mean hyperband?"),
        ("pruner: {hyperband: {keep: 0.1}}", "keep is not a setting of hyperband"),
        ("pruner: {hyperband: {promote: maybe}}", "promote must be true or false, not maybe"),
        ("pruner: {hyperband: {promote: no}}", "promote must be true or false, not no | did you mean false?"),
        ("pruner: {screening: {keep: 0}}", "keep must be above 0, not 0"),
        ("pruner: {median: {min_epoch: 2}}", "min_epoch is not a setting of median | did you mean min_epochs?"),
        (
            "pruner: sucessive_halving",
            f"sucessive_halving is not a pruner; there are {PRUNER_NAMES} | did you mean successive_halving?",
        ),
        ("pruner: {median: {startup: 2}}", "startup is not a setting of median | did you mean startup_trials?"),
        ("pruner: {successive_halving: {reduction: 1}}", "reduction must be at least 2, not 1"),
        (
            "pruner: {median: {}, none: {}}",
            f"pruner must be one of {PRUNER_NAMES}, by name or with settings",
        ),
        ("sampler: [tpe]", f"sampler must be one of {', '.join(SAMPLERS)}, by name or with settings"),
        ("sampler: {tpe: {random_share: 2}}", "random_share must be at most 1, not 2"),
        ("sampler: {nsga2: {startup_trials: 2}}", "startup_trials is not a setting of nsga2"),
        (
            "sampler: optuna-tpe",
            f"optuna-tpe is not a sampler; there are {', '.join(SAMPLERS)} | did you mean optuna_tpe?",
        ),
        (
            "constraints: {val/class/ece: 0.1}",
            'val/class/ece must be a comparison such as "> 0.1" or "< 0.1", not the number 0.1 alone',
        ),
        (
            "constraints: {val/class/ece: about 3}",
            "val/class/ece must be a comparison such as > 0.60 or == 5, not about 3",
        ),
        (
            "constraints: {val/class/acuracy: '> 0.5'}",
            "val/class/acuracy is not a metric of this task | did you mean val/class/accuracy?",
        ),
        (
            "constraints: {test/class/accuracy: '> 0.5'}",
            "test/class/accuracy cannot be used: the test split is scored once, at the end "
            "| did you mean val/class/accuracy?",
        ),
        ("limits: {time: soon}", "time must be a time such as 10m or 1h 30m, not soon"),
        ("limits: {memory: 2G}", "memory must be a size such as 2GiB or 500MB, not 2G"),
        ("limits: {memory: 0}", "memory must be at least one byte, not 0"),
        ("limits: {memory: [1]}", "memory must be a size such as 2GiB or 500MB"),
        ("limits: {memroy: 2GiB}", "memroy is not a key of limits | did you mean memory?"),
        ("stop: {no_improvement: 0}", "no_improvement must be at least 1, not 0"),
        ("stop: {no_improvment: 3}", "no_improvment is not a key of stop | did you mean no_improvement?"),
        ("audit: 5", "audit must be at most 1, not 5"),
        ("audit: -0.1", "audit must be at least 0, not -0.1"),
        ("audit: yes", "audit must be a number, not yes"),
        ("from: ''", "from must not be empty"),
        ("confirm: {top: -1}", "top must be at least 0, not -1"),
        (
            "gate: {val/class/acuracy: {go: '> 1'}}",
            "val/class/acuracy is not a metric of this task | did you mean val/class/accuracy?",
        ),
        (
            "gate: {val/class/ece: {go: 0.5}}",
            'go must be a comparison such as "> 0.5" or "< 0.5", not the number 0.5 alone',
        ),
        ("gate: {val/class/ece: {go: about 3}}", "go must be a comparison such as > 0.60 or == 5, not about 3"),
        ("gate: {val/class/ece: {goo: '> 1', go: '> 1'}}", "goo is not a key of val/class/ece | did you mean go?"),
        ("gate: {val/class/ece: {investigate: '> 1'}}", "go is missing"),
        ("resources: {cpus: 0}", "cpus must be at least 1, not 0"),
        ("resources: {cpu: 1}", "cpu is not a key of resources | did you mean cpus?"),
        ("seed: -1", "seed must be at least 0, not -1"),
        ("start_from: [{optimiser.lr: 1}]", "optimiser.lr is not a training option | did you mean optimizer.lr?"),
        ("start_from: [{optimizer.lr: -1}]", "optimizer.lr must be above 0, not -1"),
        ("start_from: [{balance.scheme: explicit}]", "balance: scheme explicit needs weights: one number per class"),
        ("start_from: [{name: 3}]", "name must be text"),
        ("start_from: [fast]", "start_from[1] must be a mapping, not fast"),
        ("bugdet: {trials: 3}", "bugdet is not a key of the file | did you mean budget?"),
    ],
)
def test_mistakes_elsewhere(small: Small, mistakes: Mistakes, entry: str, message: str) -> None:
    problems = mistakes(small(f"{entry}\n"))
    assert [said(problem) for problem in problems] == [message]
    assert problems[0].line == 13


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("task: abr\n", "", "task is missing"),
        ("task: abr\n", "task: arb\n", "arb is not a task; "),
        (
            "{source: simulated, train: 300}",
            "{source: mine.npz, train: 300}",
            "train is not a data option | it does not go with the other keys here",
        ),
        (
            "{source: simulated, train: 300}",
            "{source: simulated, trian: 3}",
            "trian is not a data option | did you mean train?",
        ),
        ("{source: simulated, train: 300}", "{source: simulated, train: 0}", "train must be at least 1, not 0"),
        (
            "{source: simulated, train: 300}",
            "{source: x.npz, val_share: 0.6, test_share: 0.6}",
            "val_share and test_share leave no patients to train on",
        ),
        ("{trials: 4}", "{trials: 4, time: 10x}", "time must be a time such as 10m or 1h 30m, not 10x"),
        ("{trials: 4}", "{trials: 4, time: 0s}", "time must be longer than no time"),
        (
            "{trials: 4}",
            "{trials: 4, time: .inf}",
            "time must be a time that ends, such as 10m; for none, leave the key out",
        ),
        ("{trials: 4}", "{trials: 4, time: [1]}", "time must be a time such as 10m or 1h 30m"),
        ("{trials: 4}", "{trials: forty}", "trials must be a whole number, not forty"),
        ("{trials: 4}", "{time: 10m}", "trials is missing"),
        ("budget: {trials: 4}\n", "", "budget is missing"),
        (
            "name: small",
            "name: ../x",
            "name must begin with a letter or digit and hold at most 64 of these, . _ and -, not ../x",
        ),
        ("search:\n" + SEARCH, "", "search is empty: name at least one path and how to spread its values"),
        ("search:\n" + SEARCH, "search: {}\n", "search is empty: name at least one path and how to spread its values"),
        ("search:\n" + SEARCH, "search: [a]\n", "search must be a mapping"),
        ("train:\n  epochs: 3\n", "train: 3\n", "train must be a mapping, not 3"),
    ],
)
def test_mistakes_in_what_every_file_has(small: Small, mistakes: Mistakes, old: str, new: str, message: str) -> None:
    assert said(mistakes(small(change=(old, new)))[0]).startswith(message)


def test_a_mistyped_source_is_one_mistake_and_a_file_of_that_name_is_none(small: Small, mistakes: Mistakes) -> None:
    file = small(change=("{source: simulated, train: 300}", "{source: simulatd, train: 300, val: 80, test: 80}"))
    [problem] = mistakes(file)
    assert said(problem) == "simulatd is no file and not simulated | did you mean simulated?"
    assert (problem.line, problem.column) == (3, 16)
    (file.parent / "simulatd").touch()
    assert [said(one).split(" |")[0] for one in mistakes(file)] == [
        f"{key} is not a data option" for key in ("train", "val", "test")
    ]


@pytest.mark.parametrize("text", ["", "# nothing\n", "- a\n", "3\n", "null\n"])
def test_a_file_that_is_no_mapping(write: Callable[[str], Path], mistakes: Mistakes, text: str) -> None:
    assert mistakes(write(text))


def test_all_mistakes_come_at_once_in_the_order_of_the_file(small: Small, mistakes: Mistakes) -> None:
    file = small(
        "seed: x\npruner: y\n",
        name=("name: small", "nmae: small"),
        train=("epochs: 3", "epochs: 0"),
        search=("log: [1e-5, 3e-3]", "log: [-1, 3]"),
    )
    problems = mistakes(file, "budget.trials=0", "modle.size=tiny")
    assert [problem.line for problem in problems] == [1, 6, 9, 13, 14, None, None]
    assert [problem.file for problem in problems[-2:]] == ["--set 1", "--set 2"]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("budget.trails=3", "trails is not a key of budget | did you mean trials?"),
        ("optimizer.Ir=3", "optimizer.Ir is not a training option | did you mean optimizer.lr?"),
        ("train.epoch=3", "epoch is not a training option | did you mean epochs?"),
        ("bugdet=3", "bugdet is not a key of the file or a training option | did you mean budget?"),
        ("optimizer.lr=fast", "optimizer.lr must be a number, not fast"),
        ("search.optimizer.lr={log: [1, -1]}", "log[2] must be above 0, not -1"),
        ("search.optimizer.lr.guess=1", "guess: 1 is outside 1e-05 to 0.003"),
        (
            "search.optimizer.lr.gess=1",
            "optimizer.lr.gess is not a training option | did you mean optimizer.lr?",
        ),
        (
            "constraints.val/class/acuracy=> 1",
            "val/class/acuracy is not a metric of this task | did you mean val/class/accuracy?",
        ),
        ("limits.memroy=1", "memroy is not a key of limits | did you mean memory?"),
        ("loss.weights.class", "loss.weights.class is not key=value"),
        ("epochs=[1", "while parsing a flow sequence: expected ',' or ']', but got '<stream end>'"),
        ("seed=!!python/name:os.system x", "tags such as tag:yaml.org,2002:python/name:os.system are not read"),
    ],
)
def test_mistakes_on_the_command_line_are_those_of_a_file(
    small: Small, mistakes: Mistakes, override: str, message: str
) -> None:
    [problem] = mistakes(small(), "name=fine", override)
    assert said(problem) == message
    assert str(problem).startswith("--set 2: error: ")


def test_part_of_a_searched_group_cannot_be_fixed(small: Small, mistakes: Mistakes) -> None:
    file = small(search=(SEARCH, SEARCH + "  balance.clamp: {ordered: {low: [0.2, 1], high: [1, 6]}}\n"))
    [problem] = mistakes(file, "balance.clamp.low=0.5")
    assert problem.message == "balance.clamp is searched as a whole; fix balance.clamp instead of balance.clamp.low"


def test_named_arguments_are_checked_too(small: Small, mistakes: Mistakes) -> None:
    problems = mistakes(small(), name="a/b", trials=0, seconds="soon", seed=-1)
    assert {problem.file for problem in problems} == {"--name", "--trials", "--time", "--seed"}


def test_where_one_search_is_wanted_a_file_of_stages_is_all_that_is_wrong(
    write: Callable[[str], Path], mistakes: Mistakes
) -> None:
    [problem] = mistakes(write("name: recovery\nstages: [phase1.yaml, phase2.yaml]\n"))
    assert problem.message == "this is a file of stages, which is several searches"
    assert (problem.line, problem.column) == (2, 1)


def test_problems_survive_the_way_back_from_a_worker(small: Small) -> None:
    import pickle

    with pytest.raises(FileMistakes) as caught:
        load_plan(small("seed: x\n"))
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_no_option_shadows_a_key_of_the_file() -> None:
    assert not set(AbrOptions.model_fields) & set(SpaceFile.model_fields)


TRADE_OFF = "objective: [{maximize: val/class/f1_macro}, {minimize: val/threshold/mae_db}]\n"


@pytest.mark.parametrize(
    ("more", "messages"),
    [
        (
            "sampler: grid\n",
            {
                "optimizer.lr is a range, and the grid sampler cannot tell how many of its values to try "
                "| say so with points: 5, or list the values as a choice": (9, 3)
            },
        ),
        (
            TRADE_OFF + "sampler: {cmaes: {startup_trials: 3}}\n",
            {
                "cmaes improves one objective, not 2 | tpe, gp and nsga2 seek a trade-off": (14, 11),
                "cmaes needs two numbers that are always searched; here there are 1 | tpe takes any space": (14, 11),
            },
        ),
        (
            "pruner: {wilcoxon: {p_value: 0.2}}\n",
            {
                "wilcoxon takes each report for one fold or seed of a configuration and their mean for its value; "
                "task abr reports the epochs of one training | use successive_halving, hyperband or median": (13, 10)
            },
        ),
        (
            "pruner: {screening: {min_epochs: 4}}\n",
            {
                "min_epochs is 4, but a trial trains for 3 epochs: nothing is ever stopped "
                "| at most 3, or pruner: none": (13, 34)
            },
        ),
        (
            "gate: {val/class/ece: {go: '< 1', by_epoch: 8}}\n",
            {
                "by_epoch is 8, but a trial trains for 3 epochs | leave it out to judge the last epoch": (13, 45),
            },
        ),
        (
            "confirm: {folds: 5}\n",
            {
                "simulated recordings cannot be divided into folds: their validation part is drawn by quota "
                "| leave folds out, and the leaders are trained with fresh seeds on the same division": (13, 18),
            },
        ),
        (
            "constraints: {val/birds/song: '> 1', train/class/accuracy: '> 1'}\n",
            {
                "val/birds/song is not a metric of this task": (13, 15),
                "train/class/accuracy cannot be used: trials are scored on the validation split "
                "| did you mean val/class/accuracy?": (13, 38),
            },
        ),
    ],
)
def test_contradictions_are_refused_where_they_stand(
    small: Small, mistakes: Mistakes, more: str, messages: dict[str, tuple[int, int]]
) -> None:
    assert {said(one): (one.line, one.column) for one in mistakes(small(more))} == messages


def test_folds_are_refused_where_no_data_are_needed_to_tell(
    small: Small, mistakes: Mistakes, write: Callable[[str], Path]
) -> None:
    recorded = ("{source: simulated, train: 300}", "{source: x.npz, split: leave_one_patient_out}")
    _no_such_file, problem = mistakes(small("confirm: {folds: 5}\n", data=recorded))
    assert said(problem).startswith("leave_one_patient_out is a cross-validation already: its data cannot be divided")
    by_patient = ("{source: simulated, train: 300}", "{source: x.npz}")
    assert load_plan(small("confirm: {folds: 5}\n", data=by_patient)).confirm.folds == 5
    own = write(
        "name: own\ntask: tests.search.tasks:Rare\nsearch: {lr: {log: [1e-3, 1]}}\nbudget: {trials: 1}\n"
        "objective: {maximize: val/class/f1_macro}\nconfirm: {folds: 2}\n"
    )
    with pytest.raises(FileMistakes, match=r"small\.yaml:6:18: error: task rare cannot divide its data"):
        load_plan(own, trust_code=True)


def test_a_contradiction_with_the_command_line_is_told_there(small: Small, mistakes: Mistakes) -> None:
    [problem] = mistakes(small(), "pruner=wilcoxon")
    assert problem.file == "--set 1"
    [problem] = mistakes(small("pruner: {median: {min_epochs: 3}}\n"), "epochs=2")
    assert (problem.line, problem.message[:15]) == (13, "min_epochs is 3")


@pytest.mark.parametrize("spread", ["{int: [2, 6]}", "{choice: [2, 6]}"])
def test_the_longest_run_counts_where_epochs_are_searched(small: Small, mistakes: Mistakes, spread: str) -> None:
    more = "pruner: {hyperband: {min_epochs: %d}}\n"
    searched = (SEARCH, f"{SEARCH}  epochs: {spread}\n")
    assert load_plan(small(more % 6, search=searched)).pruner.min_epochs == 6
    [problem] = mistakes(small(more % 7, search=searched))
    assert problem.message.startswith("min_epochs is 7, but a trial trains for 6 epochs")


@pytest.mark.parametrize("kind", ["none", "median", "successive_halving", "hyperband", "screening"])
def test_rankings_by_domination_take_several_objectives(small: Small, kind: str) -> None:
    plan = load_plan(small(f"{TRADE_OFF}pruner: {kind}\n"))
    assert (plan.pruner.kind, len(plan.objectives)) == (kind, 2)


def test_a_grid_too_large_to_train_is_refused_quickly(small: Small, mistakes: Mistakes) -> None:
    endless = "  batch_size: {int: [1, 1000000000]}\n  model.dropout: {uniform: [0, 0.5], points: 5}\n"
    points = ("log: [1e-5, 3e-3]", "log: [1e-5, 3e-3], points: 3")
    [problem] = mistakes(small("sampler: grid\n", search=("\nbudget", f"{endless}\nbudget"), points=points))
    assert said(problem) == (
        "the grid has more than 100,000 combinations | search fewer paths, give ranges fewer points, or use qmc"
    )
