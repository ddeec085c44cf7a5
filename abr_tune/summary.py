"""What a run found, as plain data: the content of `summary.json`, and the last lines a person reads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from abr_tune.console import clock, parameters
from abr_tune.finalists import Finalist, confirmed
from abr_tune.plan.plan import Plan
from abr_tune.report.wording import counted
from abr_tune.search.events import TrialRecord
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
        "trials": {name: states[name] for name in ("complete", "pruned", "failed", "running", "waiting")},
        "pruned_by": dict(pruned_by.most_common()),
        "epochs": {"spent": sum(record.epochs for record in records), "unpruned": spent.unpruned_epochs},
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
    }
    if spent.first_report is not None:
        summary["seconds"]["first_report"] = round(spent.first_report, 1)
    if finalists:
        summary["best"] = _best(finalists, {record.number: record for record in records})
    return summary


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


def sentences(summary: Mapping[str, Any], records: Sequence[TrialRecord], folder: str) -> Iterator[str]:
    """The last lines of a run: the best configuration, its skill, what was stopped and why, where things are."""
    counts = summary["trials"]
    total = sum(counts.values())
    yield (
        f"{summary['name']}: {summary['state']}, {total} trials in {clock(summary['seconds']['total'])}: "
        + ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    )
    yield from _about_best(summary)
    yield from _about_stops(records)
    spent, unpruned = summary["epochs"]["spent"], summary["epochs"]["unpruned"]
    if unpruned > spent:
        yield f"epochs     {spent} spent of {unpruned} without stopping: {1 - spent / unpruned:.0%} saved"
    yield from _about_references(summary)
    if summary["gate"]:
        yield f"gate       {summary['gate']['verdict']}"
        for row in summary["gate"]["criteria"]:
            value = "absent" if row["value"] is None else f"{row['value']:.4g}"
            yield f"           {row['result']:12s} {row['metric']} {value} (go {row['go']})"
    if summary["best"]:
        trusting = trust(summary["task"])
        yield f"files      {folder}/best.yaml    trains again with: abr-tune train {folder}/best.yaml{trusting}"
        yield f"           {folder}/best/        weights; abr-tune predict {folder} RECORDINGS{trusting}"
    if summary["state"] == "finished":
        yield f"           {folder}/report.html  the whole story"


def trust(task_name: str) -> str:
    """What a command about a task of one's own needs besides; nothing for a task of this package."""
    return " --trust-code" if ":" in task_name else ""


def _about_best(summary: Mapping[str, Any]) -> Iterator[str]:
    best = summary["best"]
    metric = summary["objective"]["metric"]
    if best is None:
        yield "best       none: no trial completed"
        return
    name = f" ({best['name']})" if best["name"] else ""
    yield f"best       trial {best['trial']}{name}: {metric} {best['value']:.4f}"
    baseline, skill = summary["baselines"].get(metric), best["metrics"].get(f"{metric}:skill")
    if baseline is not None:
        yield f"baseline   the trivial predictor scores {baseline:.4f}" + (
            f"; skill over it {skill:.3f} (0 trivial, 1 perfect)" if skill is not None else ""
        )
    if "confirmed" in best:
        confirmed = best["confirmed"]
        spread = f" ± {confirmed['sd']:.4f}" if confirmed["sd"] is not None else ""
        yield f"confirmed  {confirmed['mean']:.4f}{spread} on {counted(confirmed['seeds'], 'fresh seed')}"
        yield f"           the search flattered it by {confirmed['optimism']:+.4f}" + (
            f", its {len(summary['finalists'])} finalists by {confirmed['optimism_of_finalists']:+.4f} on average"
            if len(summary["finalists"]) > 1
            else ""
        )
    if (tested := summary["test"].get(metric.replace("val/", "test/", 1))) is not None:
        yield f"test       {tested:.4f} on data never used before"
    yield f"settings   {parameters(best['params'])}"


def _about_stops(records: Sequence[TrialRecord]) -> Iterator[str]:
    pruned = [record for record in records if record.state == "pruned"]
    label = "stopped  "
    for rule, count in Counter(record.pruned_by for record in pruned).most_common():
        example = next(record for record in pruned if record.pruned_by == rule)
        name = f" ({example.name})" if example.name else ""
        yield f"{label}  {count} by {rule}, e.g. trial {example.number}{name}, epoch {example.epochs}: {example.why}"
        label = "         "
    failed = [record for record in records if record.state == "failed"]
    if failed:
        yield f"failed     {len(failed)}, e.g. trial {failed[0].number}: {failed[0].error}"


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
