"""What the report says first: sentences, a few large numbers, the commands that go on from here."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from abr_tune.console import clock
from abr_tune.report.data import ReportData, tested
from abr_tune.report.pareto import pareto_rows
from abr_tune.report.tables import finalist_rows, reference_rows, stop_rows
from abr_tune.report.wording import counted, fresh_runs, number, percent
from abr_tune.start import in_words
from abr_tune.summary import trust


@dataclass(frozen=True, slots=True)
class Tile:
    """One number to be seen first."""

    label: str
    value: str
    note: str = ""


def data_line(data: ReportData) -> str:
    """Where the data come from; simulated ones are called so."""
    if data.data is None:
        return "The task brings its own data."
    if data.simulated:
        counts = [
            f"{data.data[split]} {word}"
            for split, word in (("train", "to train"), ("val", "to validate"), ("test", "to test"))
            if split in data.data
        ]
        said = ", ".join([*counts, f"seed {data.data.get('seed', '?')}"])
        return f"Simulated data ({said}). Nothing real was used."
    return f"Data from {data.data.get('source')}."


def headline(data: ReportData) -> Iterator[str]:
    """The overview in sentences: what was found, how sure it is, what was stopped, what to do next."""
    yield from _about_best(data)
    if (begun := data.summary.get("begun_with")) is not None:
        yield f"Its training began with {in_words(begun)}, not with random weights."
    yield from _about_front(data)
    yield from _about_stops(data)
    yield from _about_trust(data)
    yield from _about_gate(data)


def _about_best(data: ReportData) -> Iterator[str]:
    best, metric = data.best, data.objective.metric
    if best is None or best.value is None:
        yield "No trial has run to its end, so there is no best configuration yet."
        return
    name = f" ({best.name})" if best.name else ""
    baseline = data.baselines.get(metric)
    sentence = f"Trial {best.number}{name} is best: {metric} {number(best.value)} on the validation data"
    if baseline is not None:
        sentence += f", where the trivial predictor scores {number(baseline)}"
    skill = (best.metrics or {}).get(f"{metric}:skill")
    if skill is not None and skill > 0:
        sentence += f": {percent(skill)} of the way from it to a perfect score"
    yield sentence + "."
    if skill is not None and skill <= 0:
        yield "That is no better than the trivial predictor: nothing useful was found."
    confirmed = data.confirmed
    if confirmed:
        spread = f" ± {number(confirmed['sd'])} (sd)" if confirmed.get("sd") is not None else ""
        yield (
            f"Trained again with {fresh_runs(confirmed)}, it reaches {number(confirmed['mean'])}{spread}; "
            f"this, and not the searched value, is what to expect."
        )
        yield from _about_optimism(data)
    elif data.summary.get("state") == "finished":
        yield "It was not trained again with fresh seeds: expect a little worse than the searched value."
    test = data.test.get(tested(metric))
    if test is not None:
        yield f"On test data that nothing was chosen by it scores {number(test)}."
    for row in reference_rows(data):
        if row.ours is not None and row.verdict:
            difference = f"{number(row.ours)} against {number(row.value)} on {row.metric}"
            yield f"Beside the {row.name.removeprefix('the ')}: {difference}, {row.verdict}."


def _about_optimism(data: ReportData) -> Iterator[str]:
    rows = [row for row in finalist_rows(data) if row.optimism is not None]
    if rows and rows[0].optimism is not None:
        sentence = f"The search's own run of it was {_gap(rows[0].optimism)} than the fresh ones"
        if len(rows) > 1:
            mean = fmean(row.optimism or 0.0 for row in rows)
            sentence += f"; over all {len(rows)} finalists {_gap(mean)} on average"
        yield sentence + "."


def _gap(optimism: float) -> str:
    return f"{abs(optimism):.3f} {'better' if optimism >= 0 else 'worse'}"


def _about_front(data: ReportData) -> Iterator[str]:
    rows = pareto_rows(data)
    if leading := sum(row.standing == "front" for row in rows):
        names = " and ".join(objective.metric for objective in data.objectives)
        yield (
            f"{leading} of {counted(len(rows), 'complete trial')} {'is' if leading == 1 else 'are'} beaten by no other "
            f"in {names} together; the one named best leads by the first of them."
        )
    missing = [record for record in data.trials if record.state == "complete" and not record.feasible]
    if missing:
        missed = Counter(name for record in missing for name, by in record.violations.items() if by > 0)
        said = ", ".join(f"{name} ({count})" for name, count in missed.most_common())
        by_best = (data.summary.get("best") or {}).get("violations") or {}
        best = [f"{name} by {missed_by:.4g}" for name, missed_by in by_best.items() if missed_by > 0]
        if best:
            yield (
                f"{counted(len(missing), 'complete trial')} {'misses' if len(missing) == 1 else 'miss'} a constraint: "
                f"{said}. The one named best misses one too: {', '.join(best)}."
            )
        else:
            yield f"{counted(len(missing), 'complete trial')} cannot be best because of a missed constraint: {said}."


def _about_trust(data: ReportData) -> Iterator[str]:
    alarm = data.summary.get("alarm")
    if alarm:
        yield f"Alarm: {alarm['why']}."
    overall = next((row for row in (data.summary.get("audit") or {}).get("rows", ()) if row["rule"] is None), None)
    if overall:
        low, high = overall["interval"]
        yield (
            f"Of {counted(overall['judged'], 'stopped trial')} that the audit let run to the end, {overall['false']} "
            f"turned out to be among the leaders: {percent(overall['share'])} of the stops are false "
            f"(95 % interval {percent(low)} to {percent(high)})."
        )


def _about_stops(data: ReportData) -> Iterator[str]:
    if not data.trials:
        yield "No trial has started."
        return
    rows = stop_rows(data)
    stopped = sum(row.trials for row in rows if row.outcome != "failed")
    if stopped:
        reasons = ", ".join(f"{row.trials} by {row.rule}" for row in rows if row.outcome != "failed")
        were = "was" if stopped == 1 else "were"
        sentence = f"{stopped} of {counted(len(data.trials), 'trial')} {were} stopped early: {reasons}."
        epochs = data.summary.get("epochs") or {}
        spent, unpruned = epochs.get("spent", 0), epochs.get("unpruned", 0)
        if unpruned > spent:
            sentence += f" {spent} epochs were trained of {unpruned}: {percent(1 - spent / unpruned)} saved."
        yield sentence
    else:
        yield f"Of {counted(len(data.trials), 'trial')} none was stopped early."
    failed = sum(record.state == "failed" for record in data.trials)
    if failed:
        yield f"{failed} failed; the reasons are in the list of trials."
    unfinished = sum(record.state in {"running", "waiting"} for record in data.trials)
    if unfinished:
        are = "is" if unfinished == 1 else "are"
        yield f"{unfinished} {are} not finished: the same `abr-tune run` command continues."


def _about_gate(data: ReportData) -> Iterator[str]:
    gate = data.summary.get("gate")
    if not gate:
        return
    missed = [row["metric"] for row in gate["criteria"] if row["result"] != "go"]
    tail = f"; missed: {', '.join(missed)}" if missed else ": every criterion is met"
    yield f"The gate says {gate['verdict']}{tail}."
    steps = list(dict.fromkeys(step for row in gate["criteria"] for step in next_of(row)))
    if steps:
        yield f"What to try next: {'; '.join(steps[:3])}."


def next_of(criterion: Mapping[str, Any]) -> list[str]:
    """What to try next where a criterion of the gate is missed."""
    found = criterion.get("next") or criterion.get("next_steps") or ()
    return [found] if isinstance(found, str) else [str(step) for step in found]


def next_steps(data: ReportData, folder: str) -> Iterator[tuple[str, str]]:
    """Commands that go on from here, each with what it does."""
    quoted = shlex.quote(folder)
    own_task = ":" in data.task
    if data.summary.get("state") != "finished" and (data.simulated or data.data is None) and not own_task:
        # Paths in a space file are relative to its place: a copy of one that names a file of recordings may not work.
        parent = shlex.quote(str(Path(folder).parent))
        yield f"abr-tune run {quoted}/space.yaml --out {parent} --name {shlex.quote(data.name)}", "continue this run"
    if data.summary.get("best"):
        trusting = trust(data.task)
        yield f"abr-tune train {quoted}/best.yaml{trusting}", "train the best configuration again"
        yield f"abr-tune train {quoted}/best.yaml --seeds 3{trusting}", "the same with fresh seeds"
    yield f"abr-tune dashboard {quoted}", "look into every trial"


def tiles(data: ReportData) -> Iterator[Tile]:
    """The numbers to be seen first."""
    best, summary = data.best, data.summary
    confirmed = (summary.get("best") or {}).get("confirmed")
    if confirmed:
        spread = f"± {number(confirmed['sd'])} on " if confirmed.get("sd") is not None else ""
        yield Tile(data.objective.metric, number(confirmed["mean"]), f"{spread}{fresh_runs(confirmed)}")
    elif best is not None:
        yield Tile(data.objective.metric, number(best.value), "one seed")
    for objective in data.objectives[1:]:
        if objective.metric in data.expected:
            yield Tile(objective.metric, number(data.expected[objective.metric]), "of the same configuration")
    baseline = data.baselines.get(data.objective.metric)
    if baseline is not None:
        yield Tile("trivial predictor", number(baseline), "the same metric")
    skill = data.expected.get(f"{data.objective.metric}:skill")
    if skill is not None:
        yield Tile("skill", number(skill), "0 trivial, 1 perfect")
    yield Tile("trials", str(len(data.trials)), _states(data))
    epochs = summary.get("epochs") or {}
    if epochs.get("unpruned", 0) > epochs.get("spent", 0):
        saved = percent(1 - epochs["spent"] / epochs["unpruned"])
        yield Tile("epochs saved", saved, f"{epochs['spent']} of {epochs['unpruned']} trained")
    seconds = summary.get("seconds") or {}
    if "total" in seconds:
        yield Tile("time", clock(seconds["total"]), f"{clock(seconds.get('training', 0))} of training")


def _states(data: ReportData) -> str:
    counts = Counter(record.state for record in data.trials)
    return ", ".join(f"{count} {state}" for state, count in counts.items())
