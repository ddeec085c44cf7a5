"""How the stages of a run went, as plain data: the content of its `summary.json`, and the lines a person reads."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal

from abr_tune.console import clock
from abr_tune.gate import WORST_FIRST
from abr_tune.report.wording import counted
from abr_tune.runs import RunFolder
from abr_tune.start import in_words

COUNTED: Final = ("complete", "pruned", "failed", "running", "waiting")
State = Literal["finished", "interrupted", "unfinished"]


def summarise_stages(folder: Path, stages: Sequence[RunFolder], *, state: State, about: str = "") -> dict[str, Any]:
    """What the summaries of the stages say together; the best is that of the last stage that has one.

    The whole is judged by all gates: its verdict is that of the worst, and there is none while a stage that may still
    be run has not been. `stopped_at` names the stage whose gate ended the order.

    Raises:
        UserError: the summary of a stage is damaged.
    """
    told = [_stage(stage) for stage in stages]
    finished = [each for each in told if each["state"] == "finished"]
    missed = next((each for each in finished if _verdict(each) != "go"), None)
    leading = next((each for each in reversed(told) if each["best"] is not None), None)
    whole = missed is not None or len(finished) == len(told)
    rows = [{"stage": each["name"], **row} for each in finished for row in (each["gate"] or {}).get("criteria", ())]
    counts = Counter[str]()
    for each in told:
        counts.update(each["trials"])
    return {
        "name": folder.resolve().name,
        "about": about,
        "task": next((each["task"] for each in told if each["task"]), None),
        "state": state,
        "objective": leading["objective"] if leading else None,
        "trials": {name: counts[name] for name in COUNTED},
        "epochs": {key: sum(each["epochs"].get(key, 0) for each in told) for key in ("spent", "unpruned")},
        "seconds": {key: round(sum(each["seconds"].get(key, 0) for each in told), 1) for key in ("total", "training")},
        "best": None if leading is None else {"stage": leading["name"], **leading["best"]},
        "test": next((each["test"] for each in reversed(told) if each["test"]), {}),
        "references": next((each["references"] for each in reversed(told) if each["test"]), []),
        "gate": {"verdict": _worst(finished), "criteria": rows} if whole and rows else None,
        "stopped_at": None if missed is None else missed["name"],
        "stages": told,
    }


def _stage(run: RunFolder) -> dict[str, Any]:
    """One stage: its own summary, and what it began with."""
    summary = run.read_summary() or {}
    begun = run.plan.is_file()
    return {
        "name": run.name,
        "state": summary.get("state", "unfinished" if begun else "not begun"),
        "task": summary.get("task"),
        "objective": summary.get("objective"),
        "trials": summary.get("trials", {}),
        "epochs": summary.get("epochs", {}),
        "seconds": summary.get("seconds", {}),
        "baselines": summary.get("baselines", {}),
        "begun_with": summary.get("begun_with"),
        "best": summary.get("best"),
        "finalists": summary.get("finalists", []),
        "test": summary.get("test", {}),
        "references": summary.get("references", []),
        "gate": summary.get("gate"),
    }


def _verdict(stage: Mapping[str, Any]) -> str:
    """Of a stage without a gate there is nothing to miss; one without a best has missed everything."""
    if stage["best"] is None:
        return "no-go"
    return str((stage["gate"] or {}).get("verdict", "go"))


def _worst(stages: Sequence[Mapping[str, Any]]) -> str:
    verdicts = {_verdict(stage) for stage in stages}
    return next((result for result in WORST_FIRST if result in verdicts), "go")


def sentences_of_stages(summary: Mapping[str, Any], folder: str) -> Iterator[str]:
    """How the whole went: each stage with its gate, why the order ended, what the last one gives."""
    trials = counted(sum(summary["trials"].values()), "trial")
    ran = sum(stage["state"] == "finished" for stage in summary["stages"])
    yield (
        f"{summary['name']}: {summary['state']}, {ran} of {counted(len(summary['stages']), 'stage')}, {trials} in "
        f"{clock(summary['seconds']['total'])}"
    )
    for stage in summary["stages"]:
        yield from _about(stage)
    if (missed := why_it_stopped(summary)) is not None:
        yield missed
    if summary["gate"]:
        yield f"gate       {summary['gate']['verdict']} over all"
    best = summary["best"]
    if best is not None:
        run = RunFolder(Path(folder) / best["stage"])
        yield f"best       of {best['stage']}; abr-tune predict {shlex.quote(folder)} FILE uses it"
        yield f"files      {run.best_config}  trains again with: abr-tune train {shlex.quote(str(run.best_config))}"
    page = RunFolder(Path(folder)).report
    if page.is_file():
        yield f"           {page}  the whole story"


def why_it_stopped(summary: Mapping[str, Any]) -> str | None:
    """Which criteria of which stage ended the order before its end; None where none did."""
    name = summary["stopped_at"]
    if name is None:
        return None
    stage = next(each for each in summary["stages"] if each["name"] == name)
    after = [each["name"] for each in summary["stages"] if each["state"] == "not begun"]
    if stage["best"] is None:
        said = f"no trial of {name} completed"
    else:
        rows = [row for row in stage["gate"]["criteria"] if row["result"] != "go"]
        said = f"the gate of {name} is {stage['gate']['verdict']}: " + ", ".join(_missed(row) for row in rows)
    rest = f"; {', '.join(after)} {'is' if len(after) == 1 else 'are'} not run" if after else ""
    return f"stopped    {said}{rest}"


def _missed(row: Mapping[str, Any]) -> str:
    value = "absent" if row["value"] is None else f"{row['value']:.4g}"
    return f"{row['metric']} {value} (go {row['go']})"


def _about(stage: Mapping[str, Any]) -> Iterator[str]:
    best, objective = stage["best"], stage["objective"]
    said = stage["state"]
    if best is not None:
        confirmed = (best.get("confirmed") or {}).get("mean")
        value = best["value"] if confirmed is None else confirmed
        said += f", {objective['metric']} {value:.4f}" + ("" if confirmed is None else " confirmed")
    if stage["gate"]:
        said += f", gate {stage['gate']['verdict']}"
    if (begun := stage["begun_with"]) is not None:
        said += f"; begun with {in_words(begun)}"
    yield f"  {stage['name']:9s}{said}"
