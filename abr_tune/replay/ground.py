"""A bank made ready for replay: every configuration with its place in the space, its judged reports and its fate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from statistics import fmean, median, variance
from typing import Final, Literal

from abr_tune.bank.folder import SPACE, Bank, RecordedTrial, read_bank
from abr_tune.errors import UserError
from abr_tune.plan.load import load_plan
from abr_tune.plan.overrides import resolve, value_at
from abr_tune.plan.plan import Plan, Stop
from abr_tune.plan.space import OutsideSpace, Raw
from abr_tune.plan.tasks import find_task
from abr_tune.search.fidelity import age
from abr_tune.trial import TrialStep
from core.health import Verdict, judge
from core.report import EpochReport
from core.tasks.task import Objective

Fate = Literal["good", "collapsed", "diverged", "non_finite", "failed"]
"""How a run ends that nobody stops; each in the order in which it is looked for, `good` last."""

BAD: Final[tuple[Fate, ...]] = ("collapsed", "diverged", "non_finite")
MARGIN: Final = 0.02
"""How far above the trivial score a run may end and still count as collapsed, as in the rule `class_collapse`."""
NO_SKILL: Final = 0.05
"""The same where the trivial score is known only as a skill."""
TOP: Final = 10
SKILL: Final = ":skill"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One recorded configuration."""

    number: int
    """In the bank."""
    raw: Mapping[str, Raw]
    """Coordinate -> value."""
    length: int
    """Epochs of a full training."""
    steps: tuple[TrialStep, ...]
    """Its reports in order, with what the health rules say; the last is incomplete where it broke off."""
    curve: Mapping[int, float]
    """Epoch -> objective."""
    final: float | None
    """The objective at the end of a full training; None where it has none."""
    fresh: tuple[float, ...] = ()
    """The objective at the end of full trainings with other seeds, where such were recorded."""
    breaks: bool = False
    """Whether a training with another seed came to no end."""
    fate: Fate
    grace: int | None
    """Last epoch at which the rules may not yet judge the objective; None when they never may."""

    @property
    def worth(self) -> float | None:
        """What a full training of the configuration is expected to end with; None where it breaks.

        The mean over the fresh seeds alone, where there are any: which configurations were trained again was chosen by
        the first seed's value, whose luck would stay in it.
        """
        return None if self.final is None or self.breaks else fmean(self.fresh or (self.final,))

    @property
    def stop(self) -> Verdict | None:
        """The first verdict that ends it."""
        return next((step.stop for step in self.steps if step.stop is not None), None)


@dataclass(frozen=True, kw_only=True)
class Ground:
    """What methods are compared on."""

    plan: Plan
    """As the bank's space file says it, for one objective and without start points: no method is given any."""
    runs: tuple[Run, ...]
    """The recorded configurations that lie in the space, by number."""
    outside: int
    """How many do not: start points tried all the same."""
    length: int
    """Epochs of the longest training."""
    trivial: float | None = None
    """The trivial predictor's score on the objective, where there is one."""

    @property
    def objective(self) -> Objective:
        """What is improved."""
        return self.plan.objective

    def better(self, a: float, b: float) -> bool:
        """Whether value `a` is strictly better than `b`."""
        return a > b if self.objective.direction == "maximize" else a < b

    @cached_property
    def ranked(self) -> tuple[Run, ...]:
        """The runs that end with a value, the best first, by what they are worth."""
        sign = -1.0 if self.objective.direction == "maximize" else 1.0
        return tuple(sorted((run for run in self.runs if run.worth is not None), key=lambda run: sign * _worth(run)))

    @cached_property
    def best(self) -> float:
        """The best value at full length."""
        return _worth(self.ranked[0])

    @cached_property
    def median(self) -> float:
        """The median of all values at full length."""
        return median(_worth(run) for run in self.ranked)

    @cached_property
    def top(self) -> frozenset[int]:
        """The ten best configurations."""
        return frozenset(run.number for run in self.ranked[:TOP])

    @cached_property
    def foresight(self) -> Mapping[int, float]:
        """Epoch -> how well the values there rank the runs as their ends do: Spearman's correlation, at 1, 2, 4, ..."""
        epochs = [2**power for power in range(20) if 2**power < self.length]
        return {epoch: _agreement([run for run in self.ranked if epoch in run.curve], epoch) for epoch in epochs}

    @cached_property
    def wobble(self) -> float:
        """By how much values go up and down near the end: the sd over the last four epochs, pooled over good runs."""
        ends = [list(run.curve.values())[-4:] for run in self.runs if run.fate == "good" and len(run.curve) >= 4]
        return float(fmean(variance(end) for end in ends) ** 0.5) if ends else 0.0

    def worth(self, run: Run) -> float:
        """The value of a configuration at full length; the worst there is where it has none."""
        return run.worth if run.worth is not None else _worth(self.ranked[-1])

    def regret(self, run: Run | None) -> float:
        """(best - value) / (best - median), 0 for the best; nothing recommended counts as the median, 1."""
        if run is None:
            return 1.0
        return (self.best - self.worth(run)) / (self.best - self.median)


def load_ground(
    folder: Path, *, overrides: tuple[str, ...] = (), trust_code: bool = False, one_seed: bool = False
) -> Ground:
    """Read a bank and judge its curves by the rules of its space file, changed by `overrides` (`key=value`).

    With `one_seed` the trainings with fresh seeds are left out: a configuration is worth what methods see of it.

    Raises:
        UserError: the bank is damaged or too small or too uniform to measure anything, or its space file has mistakes.
    """
    bank = read_bank(folder)
    plan = _plan(folder, bank, overrides, trust_code=trust_code)
    try:
        trials, fresh = bank.trials(), bank.fresh_reports()
    except ValueError as fault:
        raise UserError(f"{folder} is damaged: {fault}") from fault
    baselines, metric = bank.facts["baselines"], plan.objective.metric
    broke = {number for numbers in bank.facts["fresh_broke"].values() for number in numbers}
    runs = tuple(
        run if one_seed else replace(run, fresh=_ends(run, metric, fresh), breaks=run.number in broke)
        for trial in trials
        if (run := _run(trial, plan, baselines)) is not None
    )
    ground = Ground(
        plan=plan,
        runs=runs,
        outside=len(trials) - len(runs),
        length=max((run.length for run in runs), default=0),
        trivial=bank.facts["baselines"].get(plan.objective.metric),
    )
    if len(ground.ranked) < 2 or ground.best == ground.median:
        raise UserError(
            f"{folder} cannot tell methods apart: {len(ground.ranked)} of its trials end with "
            f"{plan.objective.metric}, and the best is no better than the median"
        )
    return ground


def _plan(folder: Path, bank: Bank, overrides: tuple[str, ...], *, trust_code: bool) -> Plan:
    code = bank.facts["code"]
    if code is not None and trust_code:
        find_task(bank.facts["task"], trust_code=True, folders=[folder / code])
    plan = load_plan(folder / SPACE, overrides=[*bank.facts["set"], *overrides], trust_code=trust_code)
    # What would steer our own search alone is left out: the others could not be given it.
    return replace(plan, objectives=plan.objectives[:1], start_from=(), constraints=(), stop=Stop())


def _run(trial: RecordedTrial, plan: Plan, baselines: Mapping[str, float]) -> Run | None:
    """The trial as replay needs it; None when it lies outside the space."""
    options = resolve(plan.task.options, {**plan.train, **trial.params})
    values = {path: value_at(options, path) for path in plan.space.paths} | dict(trial.params)
    try:
        raw = plan.space.encode(values)
    except OutsideSpace:
        return None
    metric, length = plan.objective.metric, getattr(options, "epochs", len(trial.reports))
    curve = {report.epoch: report.metrics[metric] for report in trial.whole if metric in report.metrics}
    whole = trial.broke_off is None and trial.error is None
    final = curve.get(trial.whole[-1].epoch) if whole and trial.whole else None
    steps = tuple(
        TrialStep(report, judge(trial.reports[: index + 1], plan.health, baselines, length))
        for index, report in enumerate(trial.reports)
    )
    return Run(
        number=trial.number,
        raw=raw,
        length=length,
        steps=steps,
        curve=curve,
        final=final,
        fate=_fate(trial, plan.objective, curve, final, baselines),
        grace=_grace(trial, plan),
    )


def _ends(run: Run, metric: str, fresh: Mapping[int, Mapping[int, Sequence[EpochReport]]]) -> tuple[float, ...]:
    """The objective at the end of the trainings with other seeds that were whole."""
    lasts = (reports[run.number][-1] for reports in fresh.values() if reports.get(run.number))
    return tuple(last.metrics[metric] for last in lasts if last.epoch == run.length and metric in last.metrics)


def _fate(
    trial: RecordedTrial,
    objective: Objective,
    curve: Mapping[int, float],
    final: float | None,
    baselines: Mapping[str, float],
) -> Fate:
    """collapsed: ends no better than the trivial predictor; diverged: ends below where it started."""
    if trial.error is not None:
        return "failed"
    if trial.broke_off is not None:
        return "non_finite"
    if final is None:
        return "good"
    sign = 1.0 if objective.direction == "maximize" else -1.0
    skill = trial.whole[-1].metrics.get(objective.metric + SKILL)
    trivial = baselines.get(objective.metric)
    if trivial is not None and sign * final <= sign * trivial + MARGIN:
        return "collapsed"
    if trivial is None and skill is not None and skill < NO_SKILL:
        return "collapsed"
    return "diverged" if sign * final < sign * curve[min(curve)] - MARGIN else "good"


def _grace(trial: RecordedTrial, plan: Plan) -> int | None:
    rule = plan.health.class_collapse
    allowed = rule.grace if rule is not None else 0
    ahead = [report.epoch for report in trial.whole if age(report, plan.objective.metric) <= allowed]
    return None if len(ahead) == len(trial.whole) else max(ahead, default=0)


def _agreement(runs: Sequence[Run], epoch: int) -> float:
    """0 where there is nothing to rank."""
    here, there = [run.curve[epoch] for run in runs], [_worth(run) for run in runs]
    if len(set(here)) < 2 or len(set(there)) < 2:
        return 0.0
    from scipy.stats import spearmanr

    return float(spearmanr(here, there).statistic)


def _worth(run: Run) -> float:
    if run.worth is None:
        raise ValueError(f"trial {run.number} has no value at its end")
    return run.worth
