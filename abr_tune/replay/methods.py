"""The methods that are put side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

from abr_tune.bank.record import only_finite
from abr_tune.plan.plan import Budget, Plan, Pruner, Sampler
from abr_tune.replay.ground import Ground, Run
from abr_tune.replay.nearest import Shelf, Snapped
from abr_tune.replay.simulate import Adviser, BestComplete, BestLast, Played, Player, simulate
from abr_tune.search.driver import Driver
from abr_tune.search.memory import MemoryStudy
from abr_tune.search.observation import Setting
from abr_tune.search.samplers import SAMPLERS
from core.health.severity import SEVERITIES

MethodName = Literal[
    "random",
    "screening",
    "asha",
    "asha_promoting",
    "optuna_tpe",
    "optuna_median",
    "optuna_median_patient",
    "optuna_hyperband",
    "ray",
    "ours",
    "ours_without_rules",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """Under which a method plays."""

    seed: int
    budget: int
    """Epochs."""
    workers: int = 1


@dataclass(frozen=True, slots=True)
class Method:
    """A row of the comparison."""

    label: str
    play: Callable[[Ground, Terms], Played]


def play(name: MethodName, ground: Ground, terms: Terms) -> Played:
    """One simulated search; equal arguments give equal results."""
    return METHODS[name].play(ground, terms)


def _ours(ground: Ground, terms: Terms) -> Played:
    """The plan of the bank's space file, through the driver that `abr-tune run` uses."""
    return _driven(ground, terms, ground.plan, rules=True)


def _ours_without_rules(ground: Ground, terms: Terms) -> Played:
    return _driven(ground, terms, ground.plan, rules=False)


def _random(ground: Ground, terms: Terms) -> Played:
    plan = replace(ground.plan, sampler=Sampler(kind="random"), pruner=Pruner(kind="none"))
    return _driven(ground, terms, plan, rules=False, guarded=False)


def _screening(ground: Ground, terms: Terms) -> Played:
    """Every configuration for one epoch, then the best tenth to the end: as many as the budget has epochs for."""
    pruner = Pruner(kind="screening", min_epochs=1)
    plan = replace(ground.plan, sampler=Sampler(kind="random"), pruner=pruner)
    trials = max(1, round(terms.budget / (1 + pruner.keep * (ground.length - 1))))
    return _driven(ground, terms, plan, rules=False, guarded=False, trials=trials)


def _asha(ground: Ground, terms: Terms, *, promote: bool) -> Played:
    """Successive halving over random proposals, with the plan's own rungs."""
    own = ground.plan.pruner
    pruner = Pruner(kind="successive_halving", promote=promote, reduction=own.reduction, min_epochs=own.min_epochs)
    plan = replace(ground.plan, sampler=Sampler(kind="random"), pruner=pruner)
    return _driven(ground, terms, plan, rules=False, guarded=False)


def _driven(
    ground: Ground, terms: Terms, plan: Plan, *, rules: bool, guarded: bool = True, trials: int | None = None
) -> Played:
    """A search by our own driver, over a study in memory."""
    shelf = Shelf(plan.space, ground.runs)
    plan = replace(
        plan,
        health=plan.health if rules else only_finite(plan.health),
        budget=Budget(trials=min(trials or shelf.left, shelf.left)),
        seed=terms.seed,
    )
    snapped: list[Snapped] = []

    def proposer(setting: Setting) -> Snapped:
        snapped.append(Snapped(SAMPLERS[plan.sampler.kind](setting), shelf))
        return snapped[0]

    study = MemoryStudy()
    trivial = {plan.objective.metric: ground.trivial} if rules and ground.trivial is not None else {}
    driver = Driver(plan, study, Path("nowhere"), lambda _event: None, proposer=proposer, baselines=trivial)
    played = simulate(
        driver,
        lambda key: snapped[0].taken[key],
        BestComplete(ground),
        budget=terms.budget,
        workers=terms.workers,
        rules=rules,
        guarded=guarded,
    )
    for record in study.records():
        # The driver may stop a run for its health without a verdict of the trial's own, by learned odds.
        if record.pruned_by in SEVERITIES and played.courses[record.number].ended == "ranking":
            played.courses[record.number].ended = "rule"
    return played


def _optuna(ground: Ground, terms: Terms, pruner: Callable[[Ground], object]) -> Played:
    import optuna

    from abr_tune.replay.peers import OptunaPlayer

    shelf = Shelf(ground.plan.space, ground.runs)
    sampler = optuna.samplers.TPESampler(seed=terms.seed)
    player = OptunaPlayer(ground, shelf, sampler, pruner(ground), seed=terms.seed)  # type: ignore[arg-type]
    return _stock(player, player.run_of, BestComplete(ground), terms)


def _ray(ground: Ground, terms: Terms) -> Played:
    import optuna

    from abr_tune.replay.peers import RayPlayer, asha

    shelf = Shelf(ground.plan.space, ground.runs)
    player = RayPlayer(ground, shelf, optuna.samplers.TPESampler(seed=terms.seed), asha(ground), seed=terms.seed)
    return _stock(player, player.run_of, BestLast(ground), terms)


def _stock(player: Player, run_of: Callable[[int], Run], adviser: Adviser, terms: Terms) -> Played:
    return simulate(player, run_of, adviser, budget=terms.budget, workers=terms.workers, rules=False, guarded=False)


def _no_pruner(_ground: Ground) -> object:
    import optuna

    return optuna.pruners.NopPruner()


def _median(_ground: Ground) -> object:
    import optuna

    return optuna.pruners.MedianPruner()


def _patient_median(ground: Ground) -> object:
    import optuna

    return optuna.pruners.MedianPruner(n_startup_trials=10, n_warmup_steps=ground.length // 2)


def _hyperband(ground: Ground) -> object:
    import optuna

    return optuna.pruners.HyperbandPruner(max_resource=ground.length)


METHODS: Final[Mapping[MethodName, Method]] = {
    "random": Method("random", _random),
    "screening": Method("one-epoch screening", _screening),
    "asha": Method("ASHA, stopping", lambda ground, terms: _asha(ground, terms, promote=False)),
    "asha_promoting": Method("ASHA, promoting", lambda ground, terms: _asha(ground, terms, promote=True)),
    "optuna_tpe": Method("Optuna TPE", lambda ground, terms: _optuna(ground, terms, _no_pruner)),
    "optuna_median": Method("Optuna TPE + median", lambda ground, terms: _optuna(ground, terms, _median)),
    "optuna_median_patient": Method(
        "Optuna TPE + median, 10 start-up, half warm-up", lambda ground, terms: _optuna(ground, terms, _patient_median)
    ),
    "optuna_hyperband": Method("Optuna TPE + Hyperband", lambda ground, terms: _optuna(ground, terms, _hyperband)),
    "ray": Method("Ray: TPE + ASHA, its records", _ray),
    "ours": Method("ours", _ours),
    "ours_without_rules": Method("ours, health rules off", _ours_without_rules),
}
