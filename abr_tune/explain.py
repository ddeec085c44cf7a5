"""`abr-tune explain`: the ablation path of a run, really trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from statistics import fmean
from typing import Any, Final

from rich.console import Console

from abr_tune.ablation import Ablation, Configuration, Lever, Step, greedy, levers_between, together, told, with_lever
from abr_tune.borders import as_damage
from abr_tune.errors import UserError
from abr_tune.plan import yaml
from abr_tune.plan.config import Config, load_config
from abr_tune.plan.load import load_plan
from abr_tune.plan.plan import Plan
from abr_tune.repeats import difference_interval
from abr_tune.report.ablation import FILE, conditions, start_of, surrogate, whole
from abr_tune.report.wording import counted
from abr_tune.retraining import Retraining
from abr_tune.runs import RunFolder, write_json
from abr_tune.search.archive import storage_of, stored_trials
from abr_tune.search.engine import at_a_time
from abr_tune.search.executor import ExecutorName
from abr_tune.search.records import points_of, record_of
from abr_tune.single import load

FOLDER: Final = "ablation"
UNUSED: Final = ("pruner=none", "sampler=random", "from=null")
"""What a described plan says otherwise than a space file, and nobody asks for here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """How an explanation is carried out."""

    executor: ExecutorName = "ray"
    jobs: int | None = None
    """Trainings at a time; None: as many as the cores allow."""
    seeds: int | None = None
    """None: as many as confirmation had."""
    budget: int | None = None
    """Trainings it may take; None: two levers tried at each step."""
    start: str | None = None
    """Name of the start point, or `defaults`; None: the first start point."""
    trust_code: bool = False


def explain(run: RunFolder, means: Means, console: Console) -> Ablation:
    """Train the way from a start point to the best configuration, and write `ablation.json`.

    The random forest over the trials of the search says in which order the levers are worth trying; at each step the
    most promising are trained on one seed, and the best of these on all of them. Whatever has been trained before is
    not trained again. The end is not trained where confirmation has its runs.

    Raises:
        UserError: the run has no best configuration, its data have changed, no such start point, too small a budget.
        Interrupted: a signal came.
    """
    with as_damage(run.path):
        case = _open(run, means)
    first, forest = case.order()
    seeds = case.seeds
    steps, width = affordable(len(first), len(seeds), means.budget, end_known=bool(case.known))
    levers = first if steps == len(first) else (*first[: steps - 1], together(first[steps - 1 :]))
    cost = cost_of(steps, width, len(seeds), end_known=bool(case.known))
    way = f"from {case.start_name} to {case.end_name}: {counted(len(first), 'lever')}"
    console.print(f"{way}, at most {counted(cost, 'training')}", markup=False)
    with ExitStack() as stack:
        trainer = Retraining(
            plan=case.plan,
            folder=run.path / FOLDER,
            dataset=case.dataset,
            baselines=case.baselines,
            executor=means.executor,
            jobs=at_a_time(means.executor, means.jobs, cpus=case.plan.resources.cpus),
            stack=stack,
            say=partial(console.print, markup=False, style="dim"),
        )
        path = _walk(case, trainer, levers, width)
    notes = [*forest, *_merged(first, levers), *trainer.notes]
    ablation = replace(path, trainings=trainer.count, notes=tuple(notes))
    write_json(run.path / FILE, ablation.to_json())
    return ablation


def cost_of(steps: int, width: int, seeds: int, *, end_known: bool) -> int:
    """Trainings of a way of so many steps, with `width` levers tried at each while there is a choice."""
    choices = sum(min(width, steps - step) + seeds - 1 for step in range(steps - 1))
    return seeds + choices + (0 if end_known else seeds)


def affordable(levers: int, seeds: int, budget: int | None, *, end_known: bool) -> tuple[int, int]:
    """How many steps a budget of trainings pays for, and how many levers can be tried at each.

    Raises:
        UserError: it does not pay for one choice.
    """
    if budget is None:
        return levers, min(2, levers)
    for width in range(levers, 0, -1):
        if cost_of(levers, width, seeds, end_known=end_known) <= budget:
            return levers, width
    for steps in range(levers - 1, 1, -1):
        if cost_of(steps, 1, seeds, end_known=end_known) <= budget:
            return steps, 1
    least = cost_of(min(2, levers), 1, seeds, end_known=end_known)
    raise UserError(f"a budget of {counted(budget, 'training')} is too small: the shortest way takes {least}")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    """What is to be explained."""

    run: RunFolder
    plan: Plan
    described: Mapping[str, Any]
    """`plan.yaml`."""
    dataset: Any
    baselines: Mapping[str, float]
    start_name: str
    start: Configuration
    end_name: str
    end: Configuration
    levers: tuple[Lever, ...]
    seeds: tuple[int, ...]
    known: tuple[float, ...]
    """The objective of the end on these seeds, from confirmation; empty where that has none."""
    known_runs: tuple[str, ...]

    @property
    def sign(self) -> int:
        return 1 if self.plan.objective.direction == "maximize" else -1

    def order(self) -> tuple[tuple[Lever, ...], list[str]]:
        """The levers, most promising first, and where the order comes from."""
        storage = storage_of(self.run.path)
        trials = [] if storage is None else stored_trials(storage, str(self.described["name"]))
        points = {trial.number: points_of(trial) for trial in trials}
        records = [record_of(trial) for trial in trials]
        forest, age = surrogate(self.described, records, points, self.plan.objective, tuple(self.end))
        if forest is None:
            return self.levers, ["The search has too few trials to say which lever to try first."]
        said = f"Levers were tried in the order of a random forest over {forest.trials} trials at age {age}"
        said += f" (it explains {max(0.0, forest.explained):.0%} of the variance out of bag)."
        promising = greedy(
            self.start, self.end, self.levers, lambda tried: [self.sign * value for value in forest.expect(tried)]
        )
        return promising, [said]


def _open(run: RunFolder, means: Means) -> _Case:
    """Read the run; data are loaded and compared with those it was made with."""
    summary = run.read_summary() or {}
    best = summary.get("best")
    if best is None or not run.best_config.is_file():
        raise UserError(f"run {run.name} has no best configuration to explain yet; see: abr-tune show {run.typed}")
    config = load_config(run.best_config, trust_code=means.trust_code)
    plan = reopened(run, config, trust_code=means.trust_code)
    described: Mapping[str, Any] = yaml.read(run.plan, limits=yaml.WRITTEN_OUT).data
    try:
        start_name, chosen = start_of(described, means.start)
    except KeyError:
        names = ", ".join((*(point.name for point in plan.start_from), "defaults"))
        raise UserError(f"run {run.name} has no start point {means.start!r}; there are {names}") from None
    paths = tuple(dict.fromkeys((*plan.space.paths, *chosen, *best["params"])))
    start, end = (whole(described, values, paths) for values in (chosen, best["params"]))
    levers = levers_between(start, end, conditions(described))
    if not levers:
        raise UserError(f"the best configuration is {start_name} itself: there is nothing to explain")
    dataset = load(config)
    if config.data is not None and config.task.fingerprint(dataset) != config.provenance.get("data_fingerprint"):
        raise UserError(f"the data have changed since {run.path} was made: what is trained now could not be compared")
    finalist = (summary.get("finalists") or [{}])[0]
    known, runs = _confirmed(finalist)
    wanted = means.seeds or len(known) or plan.confirm.seeds or 3
    usable = bool(known) and wanted <= len(known)
    return _Case(
        run=run,
        plan=plan,
        described=described,
        dataset=dataset,
        baselines=config.task.baselines(dataset),
        start_name=start_name,
        start=start,
        end_name=f"trial {best['trial']}",
        end=end,
        levers=levers,
        seeds=tuple(plan.seed + 1 + index for index in range(wanted)),
        known=known[:wanted] if usable else (),
        known_runs=runs[:wanted] if usable else (),
    )


def reopened(run: RunFolder, config: Config, *, trust_code: bool) -> Plan:
    """The plan of a run as it was resolved, with the data where `best.yaml` finds them, and its health rules."""
    plan = load_plan(run.plan, overrides=UNUSED, trust_code=trust_code)
    return replace(plan, file=run.best_config, data=config.data, health=config.health, start=config.start)


def _confirmed(finalist: Mapping[str, Any]) -> tuple[tuple[float, ...], tuple[str, ...]]:
    """The fresh values of the best and their folders; none where a run broke or was trained on a fold."""
    values = finalist.get("values") or ()
    if finalist.get("folds") or None in values:
        return (), ()
    return tuple(values), tuple(finalist.get("runs") or ())


def _walk(case: _Case, trainer: Retraining, levers: Sequence[Lever], width: int) -> Ablation:
    """One lever after the other, each step trained."""
    here, left, steps = dict(case.start), list(levers), []
    before = trainer.values([(here, seed) for seed in case.seeds])
    value, values = fmean(before), tuple(before)
    while left:
        lever, raced = _next(case, trainer, here, left, width)
        left = [other for other in left if not set(other.paths) <= set(lever.paths)]
        was, here = here, with_lever(here, lever, case.end)
        last = not left and bool(case.known)
        after = list(case.known) if last else trainer.values([(here, seed) for seed in case.seeds])
        gain = case.sign * (fmean(after) - fmean(before))
        interval = difference_interval([case.sign * each for each in before], [case.sign * each for each in after])
        folders = [str(trainer.place(here, seed).relative_to(case.run.path)) for seed in case.seeds]
        steps.append(
            Step(
                lever=lever.name,
                was={path: was[path] for path in lever.paths},
                becomes={path: here[path] for path in lever.paths},
                value=fmean(after),
                gain=gain,
                interval=interval,
                told=told(gain, interval),
                values=tuple(after),
                runs=case.known_runs if last else tuple(folders),
                raced=raced,
            )
        )
        before = after
    objective = case.plan.objective
    return Ablation(
        metric=objective.metric,
        direction=objective.direction,
        start=case.start_name,
        end=case.end_name,
        value=value,
        values=values,
        steps=tuple(steps),
        seeds=case.seeds,
    )


def _next(
    case: _Case, trainer: Retraining, here: Configuration, left: Sequence[Lever], width: int
) -> tuple[Lever, dict[str, float]]:
    """The lever to change now, and what those that were tried gave on the first seed."""
    tried = [lever for lever in left if trainer.possible(with_lever(here, lever, case.end))][:width]
    if not tried:
        return together(left) if len(left) > 1 else left[0], {}
    if len(left) == 1 or len(tried) == 1:
        return tried[0], {}
    found = trainer.values([(with_lever(here, lever, case.end), case.seeds[0]) for lever in tried])
    best = max(range(len(tried)), key=lambda index: (case.sign * found[index], -index))
    return tried[best], {lever.name: value for lever, value in zip(tried, found, strict=True)}


def _merged(first: Sequence[Lever], levers: Sequence[Lever]) -> list[str]:
    if len(levers) == len(first):
        return []
    return [f"The last {len(first) - len(levers) + 1} levers are changed together: the budget did not pay for more."]
