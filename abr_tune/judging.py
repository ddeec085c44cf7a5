"""The gate of a run, judged on its confirmed means, with what to try next where it is missed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import fmean

from abr_tune.advice import Evidence, next_steps
from abr_tune.finalists import Finalist
from abr_tune.gate import GateVerdict, judge_gate, verdict_of
from abr_tune.plan.plan import Plan
from abr_tune.runs import RunFolder
from abr_tune.search.events import TrialRecord
from abr_tune.trial import HISTORY, read_history
from core.report import EpochReport


def judge_run(
    plan: Plan, run: RunFolder, best: Finalist, records: Sequence[TrialRecord], baselines: Mapping[str, float]
) -> GateVerdict:
    """Judge the means of the best's fresh runs; a criterion with `by_epoch` the means at that epoch."""
    folders = [run.path / fresh for fresh in best.runs] or [run.trial(best.trial)]
    histories = [read_history(folder / HISTORY) for folder in folders]
    record = next(each for each in records if each.number == best.trial)
    evidence = Evidence(
        plan=plan, best=best, params=record.params, records=records, histories=histories, baselines=baselines
    )
    rows = []
    for criterion in plan.gate:
        metrics = best.metrics if criterion.by_epoch is None else _at(criterion.by_epoch, histories)
        [row] = judge_gate([criterion], metrics, _absent(histories)).criteria
        if row.result != "go":
            row = replace(row, next=next_steps(criterion, row.value, evidence))
        rows.append(row)
    return verdict_of(rows)


def _at(epoch: int, histories: Sequence[Sequence[EpochReport]]) -> Mapping[str, float]:
    """The means at an epoch of every metric all runs have there."""
    reports = [[report for report in history if report.epoch <= epoch][-1:] for history in histories]
    found = [report.metrics for kept in reports for report in kept]
    shared = set.intersection(*(set(metrics) for metrics in found)) if found else set()
    return {name: fmean(metrics[name] for metrics in found) for name in shared}


def _absent(histories: Sequence[Sequence[EpochReport]]) -> Mapping[str, str]:
    """Why a metric could not be computed, as the last reports say."""
    return {name: why for history in histories if history for name, why in history[-1].absent.items()}
