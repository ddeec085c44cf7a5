"""What a run found, as plain data: the content of `summary.json`, and the last lines a person reads."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from abr_tune.console import clock, parameters
from abr_tune.finalists import Finalist, confirmed, leaders
from abr_tune.plan.plan import Plan
from abr_tune.report.wording import counted, fresh_runs
from abr_tune.runs import RunFolder
from abr_tune.search.alarm import alarm_of
from abr_tune.search.audit import false_stops, why_unknown
from abr_tune.search.events import TrialRecord
from abr_tune.start import in_words
from core.tasks.task import Reference


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What the run cost."""

    total: float
    """Seconds from the command to the summary; those of earlier commands of the same run are not in it."""
    first_report: float | None
    """Seconds from the command to the first epoch report; None when nothing was trained this time."""
    unpruned_epochs: int
    """Epochs the same trials would have taken without any stop."""
    saved_by: Mapping[str, int] = field(default_factory=dict)
    """Rule -> epochs that the trials it stopped were not trained any more."""


def summarise(
    plan: Plan,
    *,
    state: str,
    records: Sequence[TrialRecord],
    spent: Spent,
    baselines: Mapping[str, float],
    finalists: Sequence[Finalist],
    gate: Mapping[str, Any] | None,
    references: Sequence[Reference],
    test: Mapping[str, float],
) -> dict[str, Any]:
    """The content of `summary.json` (contracts); `finalists` come best first and may be empty."""
    states = Counter(record.state for record in records)
    pruned_by = Counter(record.pruned_by for record in records if record.state == "pruned" and record.pruned_by)
    summary: dict[str, Any] = {
        "name": plan.name,
        "task": plan.task_name,
        "state": state,
        "objective": asdict(plan.objective),
        "objectives": [asdict(objective) for objective in plan.objectives],
        "trials": {name: states[name] for name in ("complete", "pruned", "failed", "running", "waiting")},
        "pruned_by": dict(pruned_by.most_common()),
        "examples": examples(records),
        "violations": missed_constraints(records),
        "epochs": {"spent": sum(record.epochs for record in records), "unpruned": spent.unpruned_epochs},
        "saved_by": dict(spent.saved_by),
        "seconds": {
            "total": round(spent.total, 1),
            "training": round(sum(record.seconds for record in records), 1),
        },
        "baselines": dict(baselines),
        "best": None,
        "finalists": [finalist.to_json() for finalist in finalists],
        "references": [asdict(reference) for reference in references],
        "test": dict(test),
        "gate": gate,
        "audit": _audit(plan, records, finalists, baselines),
        "alarm": None if (raised := alarm_of(records)) is None else asdict(raised),
    }
    if spent.first_report is not None:
        summary["seconds"]["first_report"] = round(spent.first_report, 1)
    if not finalists and (leading := leaders(records, plan.objectives, 1)):
        summary["leading"] = {"trial": leading[0].number, "name": leading[0].name, "value": leading[0].value}
    if finalists:
        summary["best"] = _best(finalists, {record.number: record for record in records})
    return summary


def examples(records: Iterable[TrialRecord]) -> dict[str, dict[str, Any]]:
    """What stopped a trial, or `failed` -> the first trial it happened to, and what was said of it."""
    found: dict[str, dict[str, Any]] = {}
    for record in records:
        if record.state not in {"pruned", "failed"}:
            continue
        rule = "failed" if record.state == "failed" else record.pruned_by or "unknown"
        why = record.error if record.state == "failed" else record.why
        found.setdefault(rule, {"trial": record.number, "name": record.name, "epoch": record.epochs, "why": why})
    return found


def missed_constraints(records: Iterable[TrialRecord]) -> dict[str, int]:
    """Constraint -> complete trials that miss it and so cannot be best, the most missed first."""
    complete = (record for record in records if record.state == "complete")
    return dict(Counter(name for record in complete for name, by in record.violations.items() if by > 0).most_common())


def _audit(
    plan: Plan, records: Sequence[TrialRecord], finalists: Sequence[Finalist], baselines: Mapping[str, float]
) -> dict[str, Any]:
    """What the audited trials say of the stops, over all first and then by rule; why nothing is said, otherwise."""
    # Before anything was trained again the leaders are those of the search.
    leading = {each.trial for each in finalists} or {
        each.number for each in leaders(records, plan.objectives, max(1, plan.confirm.top))
    }
    found = false_stops(records, leading, plan.objective, baselines.get(plan.objective.metric))
    rows = [asdict(row) | {"share": row.share, "interval": list(row.interval)} for row in found]
    return {"share": plan.audit, "rows": rows, "absent": None if rows else why_unknown(records, plan.audit)}


def _best(finalists: Sequence[Finalist], records: Mapping[int, TrialRecord]) -> dict[str, Any]:
    finalist = finalists[0]
    record = records[finalist.trial]
    best = {
        "trial": record.number,
        "name": record.name,
        "value": finalist.searched,
        "params": dict(record.params),
        "metrics": dict(record.metrics or {}),
        "violations": dict(finalist.violations),
        "unfinished": finalist.unfinished,
    }
    if finalist.mean is not None:
        best["confirmed"] = confirmed(finalists)
    return best


def sentences(summary: Mapping[str, Any], folder: str) -> Iterator[str]:
    """The last lines of a run: the best configuration, its skill, what was stopped and why, where things are."""
    counts = summary["trials"]
    total = sum(counts.values())
    yield (
        f"{summary['name']}: {summary['state']}, {counted(total, 'trial')} in {clock(summary['seconds']['total'])}: "
        + ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    )
    yield from _about_best(summary)
    yield from _about_stops(summary)
    spent, unpruned = summary["epochs"]["spent"], summary["epochs"]["unpruned"]
    if unpruned > spent:
        yield f"epochs     {spent} spent of {unpruned} without stopping: {1 - spent / unpruned:.0%} saved"
    yield from _about_trust(summary)
    yield from _about_references(summary)
    if summary["gate"]:
        yield f"gate       {summary['gate']['verdict']}"
        for row in summary["gate"]["criteria"]:
            value = "absent" if row["value"] is None else f"{row['value']:.4g}"
            at = f" at epoch {row['by_epoch']}" if row.get("by_epoch") else ""
            yield f"           {row['result']:12s} {row['metric']} {value}{at} (go {row['go']})"
    yield from _about_files(summary, folder)


def _about_files(summary: Mapping[str, Any], folder: str) -> Iterator[str]:
    """The files that are there; of those somebody took away, that they are gone."""
    run, trusting = RunFolder(Path(folder)), trust(summary["task"])
    train = f"abr-tune train {shlex.quote(str(run.best_config))}{trusting}"
    predict = f"abr-tune predict {shlex.quote(folder)} FILE{trusting}"
    known: list[tuple[Path, str]] = []
    if summary["best"]:
        known.append((run.best_config, f"best.yaml    trains again with: {train}"))
        known.append((run.best, f"best/        weights; {predict}"))
    if summary["state"] == "finished":
        known.append((run.report, "report.html  the whole story"))
    said = [f"{folder}/{told}" for path, told in known if path.exists()]
    gone = [path.name for path, _ in known if not path.exists()]
    if gone:
        said.append(f"{' and '.join(gone)} {'is' if len(gone) == 1 else 'are'} not there any more")
    for label, told in zip(["files", *[""] * len(said)], said, strict=False):
        yield f"{label:11s}{told}"


def trust(task_name: str) -> str:
    """What a command about a task of one's own needs besides; nothing for a task of this package."""
    return " --trust-code" if ":" in task_name else ""


def _about_best(summary: Mapping[str, Any]) -> Iterator[str]:
    best = summary["best"]
    metric = summary["objective"]["metric"]
    if best is None:
        leading = summary.get("leading")
        yield (
            "best       none: no trial completed"
            if leading is None
            else f"best       so far {_named(leading)}: {metric} {leading['value']:.4f}, not confirmed"
        )
        return
    yield f"best       {_named(best)}: {metric} {best['value']:.4f}"
    baseline, skill = summary["baselines"].get(metric), best["metrics"].get(f"{metric}:skill")
    if baseline is not None:
        yield f"baseline   the trivial predictor scores {baseline:.4f}" + (
            f"; skill over it {skill:.3f} (0 trivial, 1 perfect)" if skill is not None else ""
        )
    if "confirmed" in best:
        confirmed = best["confirmed"]
        spread = f" ± {confirmed['sd']:.4f}" if confirmed["sd"] is not None else ""
        yield f"confirmed  {confirmed['mean']:.4f}{spread} on {fresh_runs(confirmed)}"
        if confirmed["optimism"] is not None:
            yield f"           {_flattered(confirmed['optimism'])}" + (
                f"; of {len(summary['finalists'])} finalists on average by {confirmed['optimism_of_finalists']:+.4f}"
                if len(summary["finalists"]) > 1
                else ""
            )
    if (tested := summary["test"].get(metric.replace("val/", "test/", 1))) is not None:
        yield f"test       {tested:.4f} on data never used before"
    if (begun := summary.get("begun_with")) is not None:
        yield f"begun      with {in_words(begun)}"
    yield f"settings   {parameters(best['params'])}"


def _flattered(optimism: float) -> str:
    if optimism >= 0:
        return f"the search flattered it by {optimism:.4f}"
    return f"fresh seeds do better than the search's own, by {-optimism:.4f}"


def _about_stops(summary: Mapping[str, Any]) -> Iterator[str]:
    label, known = "stopped  ", summary.get("examples") or {}
    for rule, count in summary["pruned_by"].items():
        example = known.get(rule)
        told = "" if example is None else f", e.g. {_named(example)}, epoch {example['epoch']}: {example['why']}"
        yield f"{label}  {count} by {rule}{told}"
        label = "         "
    failed = known.get("failed")
    if failed is not None:
        yield f"failed     {summary['trials']['failed']}, e.g. {_named(failed)}: {failed['why']}"
    label = "missed   "
    by_best = (summary["best"] or {}).get("violations") or {}
    for constraint, count in (summary.get("violations") or {}).items():
        best = f"; the best misses it by {by_best[constraint]:.4g}" if by_best.get(constraint, 0) > 0 else ""
        yield f"{label}  {constraint} is missed by {counted(count, 'complete trial')}{best or ', which cannot be best'}"
        label = "         "


def _named(example: Mapping[str, Any]) -> str:
    return f"trial {example['trial']}" + (f" ({example['name']})" if example["name"] else "")


def _about_trust(summary: Mapping[str, Any]) -> Iterator[str]:
    for row in (summary.get("audit") or {}).get("rows", ())[:1]:
        low, high = row["interval"]
        told = f"{row['false']} of {counted(row['judged'], 'audited stop')} lost a leader"
        yield f"audit      {told}: {row['share']:.0%} of the stops are false (95 % interval {low:.0%} to {high:.0%})"
    if summary.get("alarm"):
        yield f"alarm      {summary['alarm']['why']}"


def _about_references(summary: Mapping[str, Any]) -> Iterator[str]:
    label = "beside   "
    for reference in summary["references"]:
        compared = ""
        if reference["ours"] is not None:
            compared = f"; best {reference['ours']:.4f}, difference {reference['ours'] - reference['value']:+.4f}"
        if reference["interval"] is not None:
            low, high = reference["interval"]
            compared += f" (95 % interval {low:+.4f} to {high:+.4f})"
        yield f"{label}  {reference['name']}: {reference['metric']} {reference['value']:.4f}{compared}"
        label = "         "
