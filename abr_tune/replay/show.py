"""A comparison for people, for programs, and as a picture."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any, Final

from abr_tune.replay.ground import BAD, Ground
from abr_tune.replay.replay import Comparison
from abr_tune.replay.rules import RulesReport
from abr_tune.replay.score import NEAR, SHARES, Row
from abr_tune.report.wording import counted

SAID: Final[Mapping[str, str]] = {"non_finite": "not finite"}
LEGEND: Final = (
    "regret: (best - value) / (best - median of the bank), of the configuration that the method's own records would\n"
    "        recommend at that share of the budget, at its full length; mean over seeds, 0 is the best there is\n"
    "5 %, 1 %: median epochs until the regret is at most 0.05, 0.01, and the share of seeds that got there\n"
    "rules, ranking: share of the epochs of full trainings that each saved; bad: share of trials begun whose full\n"
    "        training ends collapsed, diverged or not finite\n"
    "top: of the ten best configurations, stopped by a rule, mean over seeds; delay: epochs from the end of grace\n"
    "        until a rule stops a run that ends collapsed\n"
)


def as_text(comparison: Comparison, ground: Ground, name: str) -> str:
    """Facts of the bank, the rules by themselves, and the table of methods."""
    lines = [*_about(comparison, ground, name), "", *rules_lines(comparison.rules)]
    if comparison.rows:
        lines += ["", *_table(comparison.rows)]
        ran_out = [row.label for row in comparison.rows if row.ran_out > 0]
        if ran_out:
            lines += ["", f"ran out of recorded configurations before the budget was spent: {', '.join(ran_out)}"]
        lines += ["", LEGEND]
    return "\n".join(lines).rstrip() + "\n"


def as_json(comparison: Comparison, ground: Ground, name: str) -> dict[str, Any]:
    """Everything that is printed, and the numbers of each seed."""
    return {
        "bank": name,
        "objective": {"metric": ground.objective.metric, "direction": ground.objective.direction},
        "configurations": len(ground.runs),
        "best": ground.best,
        "median": ground.median,
        "epochs_per_training": ground.length,
        "foresight": {str(epoch): value for epoch, value in ground.foresight.items()},
        "wobble": ground.wobble,
        "budget": comparison.budget,
        "workers": comparison.workers,
        "shares": list(SHARES),
        "near": list(NEAR),
        "rules": asdict(comparison.rules),
        "methods": [asdict(row) for row in comparison.rows],
        "seeds": {name: [asdict(score) for score in scores] for name, scores in comparison.scores.items()},
    }


def _about(comparison: Comparison, ground: Ground, name: str) -> Iterator[str]:
    left_out = f"; {counted(ground.outside, 'trial')} outside the space left out" if ground.outside else ""
    yield (
        f"bank {name}: {len(ground.runs)} recorded configurations of {ground.length} epochs{left_out}; "
        f"{ground.objective.metric} best {ground.best:.4f}, median {ground.median:.4f}"
    )
    agreement = ", ".join(f"{value:.2f} at {epoch}" for epoch, value in ground.foresight.items())
    yield f"how well values on the way rank the runs as their ends do (Spearman): {agreement}"
    regret = ground.wobble / abs(ground.best - ground.median)
    yield f"good runs wobble by {ground.wobble:.4f} (sd) over their last four epochs, {regret:.2f} in units of regret"
    if comparison.rows:
        yield (
            f"{comparison.rows[0].seeds} seeds, a budget of {comparison.budget} epochs "
            f"({comparison.budget / ground.length:g} full trainings), {counted(comparison.workers, 'simulated worker')}"
        )


def rules_lines(rules: RulesReport) -> Iterator[str]:
    """The health rules measured by themselves."""
    total = sum(rules.fates.values())
    yield "health rules alone, on every recorded run:"
    for fate, count in sorted(rules.fates.items(), key=lambda item: -item[1]):
        yield f"  {count:4d} of {total} end {SAID.get(fate, fate)}; a rule stops {rules.stopped.get(fate, 0)} of them"
    if rules.saved_of_bad is not None:
        yield f"  they save {rules.saved_of_bad:.1%} of the epochs of the runs that end {_or(BAD)},"
    yield (
        f"  {rules.saved_of_all:.1%} of all epochs; of the ten best they stop {rules.top_stopped}, "
        f"the best is {'unchanged' if rules.best_unchanged else 'lost'}"
    )
    if rules.by_rule:
        yield "  " + ", ".join(f"{rule} {count}" for rule, count in sorted(rules.by_rule.items()))


def _table(rows: tuple[Row, ...]) -> Iterator[str]:
    width = max(len(row.label) for row in rows)
    shares = "".join(f"{name:>7}" for name in ("1/8", "1/4", "1/2", "1"))
    yield f"{'':{width}} {'regret at' + ' ' * 19:>28}  {'to 5 %':>12} {'to 1 %':>12}"
    yield (
        f"{'method':{width}}{shares}  {'epochs':>6} {'got':>5} {'epochs':>6} {'got':>5}  {'rules':>5} {'rank':>5} "
        f"{'bad':>5} {'top':>5} {'delay':>5} {'trials':>6}"
    )
    for row in rows:
        yield f"{row.label:{width}}" + "".join(_cells(row))


def _cells(row: Row) -> Iterator[str]:
    yield from (f"{value:7.3f}" for value in row.regret)
    yield " "
    for at, share in zip(row.reached, row.reached_share, strict=True):
        yield f" {'never' if at is None else at:>6} {share:5.0%}"
    yield f"  {row.saved_by_rules:5.0%} {row.saved_by_ranking:5.0%} {row.collapsing:5.0%} {row.false_stops:5.2f}"
    yield f" {'-' if row.delay is None else format(row.delay, '.1f'):>5} {row.trials:6.0f}"


def regret_curves(comparison: Comparison) -> Mapping[str, tuple[list[int], list[float]]]:
    """Method -> (epochs spent, mean regret over seeds), at a hundred places of the budget and the quarters between."""
    places = sorted({round(comparison.budget * part / 120) for part in range(1, 121)})
    curves = {}
    for row in comparison.rows:
        scores = next(scores for name, scores in comparison.scores.items() if name == row.method)
        means = [sum(_at(score.curve, place) for score in scores) / len(scores) for place in places]
        curves[row.label] = (places, means)
    return curves


def _at(curve: tuple[tuple[int, float], ...], spent: int) -> float:
    before = [regret for at, regret in curve if at <= spent]
    return before[-1] if before else 1.0


def _or(words: tuple[str, ...]) -> str:
    plain = [SAID.get(word, word) for word in words]
    return f"{', '.join(plain[:-1])} or {plain[-1]}"
