"""The page: rows and figures into one HTML file that needs nothing else and asks nobody for anything.

Every text is escaped. A content security policy allows exactly the two scripts of the page, by their hashes, and no
request of any kind; the data of the figures are inert JSON.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from abr_tune.console import clock
from abr_tune.report import figures, overview, plots, tables
from abr_tune.report.absences import absences
from abr_tune.report.assets import asset, hashes, inert, inline
from abr_tune.report.data import ReportData
from abr_tune.report.epochs import class_shares, gradient_norms
from abr_tune.report.levers import changed, collapse_said, slices, strands
from abr_tune.report.outcomes import OUTCOMES, outcome
from abr_tune.report.pareto import pareto_rows
from abr_tune.report.scores import class_rows, confusion, reliability
from abr_tune.report.thinning import thinned
from abr_tune.report.wording import number, percent

CURVES: Final = 400
"""Trials whose curves are drawn, at most about so many; likewise:"""
POINTS: Final = 2000
STRANDS: Final = 150
SLICES: Final = 600
LISTED: Final = 500


@dataclass(frozen=True, slots=True)
class Drawn:
    """A figure of the page; its id is fixed by us and never made from data."""

    id: str
    title: str
    caption: str
    json: Markup


def render(data: ReportData, folder: str) -> str:
    """The whole page; `folder` is how the commands on it name the run folder."""
    drawn = {figure.id: figure for figure in (*_search(data), *_levers(data), *_training(data), *_front(data))}
    listed = thinned(data, data.trials, LISTED)
    scripts = [inline(figures.plotly_js()), asset("report.js")] if drawn else []
    taken_for = confusion(data)
    return _template().render(
        data=data,
        state=data.summary.get("state", "not finished"),
        gate=data.summary.get("gate"),
        alarm=data.summary.get("alarm"),
        audit=(data.summary.get("audit") or {}).get("rows") or [],
        data_line=overview.data_line(data),
        sentences=list(overview.headline(data)),
        steps=list(overview.next_steps(data, folder)),
        tiles=list(overview.tiles(data)),
        standing=tables.standing_rows(data),
        finalists=tables.finalist_rows(data),
        front=[row for row in pareto_rows(data) if row.standing == "front"][:LISTED],
        others=list(range(1, len(data.objectives))),
        references=tables.reference_rows(data),
        metrics=tables.metric_rows(data),
        confusion=taken_for,
        by_class=() if taken_for is None else class_rows(taken_for),
        reliability=reliability(data),
        stops=tables.stop_rows(data),
        lowered=data.lowered,
        collapses=[(lever, collapse_said(lever)) for lever in data.collapses.levers if not lever.noise],
        trials=tables.trial_rows(data, listed.records),
        listed=listed,
        settings=tables.settings(data),
        environment=tables.environment_rows(data.environment),
        absent=absences(data),
        legend=_legend(data),
        changed=changed,
        outcomes=OUTCOMES,
        figures=drawn,
        further=[figure for id_, figure in drawn.items() if id_.startswith("figure-further-")],
        slices=[figure for id_, figure in drawn.items() if id_.startswith("figure-slice-")],
        colours=figures.COLOURS,
        style=asset("report.css"),
        scripts=scripts,
        script_hashes=hashes(scripts),
    )


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("abr_tune.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters |= {"number": number, "clock": clock, "percent": percent, "next_of": overview.next_of}
    return environment.get_template("report.html.j2")


def _legend(data: ReportData) -> list[Mapping[str, Any]]:
    """The outcomes that occur, with how often: one legend for all figures."""
    counts = dict.fromkeys(OUTCOMES, 0)
    for record in data.trials:
        counts[outcome(record, data.best)] += 1
    return [
        {"glyph": figures.GLYPHS[name], "colour": figures.COLOURS[name], "text": text, "count": counts[name]}
        for name, text in OUTCOMES.items()
        if counts[name]
    ]


def _search(data: ReportData) -> Iterator[Drawn]:
    metric = data.objective.metric
    running = thinned(data, [record for record in data.trials if data.curves.get(record.number)], CURVES)
    curves = plots.curves(data, running.records)
    if curves:
        yield _drawn(
            "figure-curves",
            "Learning curves",
            "The objective after each epoch, one line per trial; the mark is where it ended. Point at a mark for the "
            f"reason. {running.said}",
            figures.curve_figure(curves, metric, data.baselines.get(metric)),
        )
    scored = thinned(data, [record for record in data.trials if data.value_of(record) is not None], POINTS)
    points = plots.history(data, scored.records)
    if points:
        yield _drawn(
            "figure-history",
            "History",
            "Trials in the order they were started; the line is the best complete value so far. A stopped trial stands "
            f"at the score it had when it was stopped, which is not comparable with a full run. {scored.said}",
            figures.history_figure(points, plots.leading(data), metric),
        )


def _levers(data: ReportData) -> Iterator[Drawn]:
    ended = [record for record in data.trials if data.value_of(record) is not None]
    some = thinned(data, ended, STRANDS)
    scales, lines = strands(data, some.records)
    if lines:
        yield _drawn(
            "figure-strands",
            "All settings side by side",
            "Parallel coordinates, read downwards: each row is a setting, each line a trial, the last row its score "
            "(of a stopped trial the one it had then). A line skips a setting that was off. "
            f"{some.said}",
            figures.strand_figure(scales, lines),
        )
    if data.importances.shares:
        yield _drawn(
            "figure-importances",
            "What mattered",
            f"PED-ANOVA over the {data.importances.trials} trials with a score at epoch {data.importances.epoch}: "
            "which settings set the best quarter apart. Those searched only under a condition are left out.",
            figures.importance_figure(data.importances.shares),
        )
    for index, (what, importances) in enumerate(data.further.items()):
        if importances.shares:
            yield _drawn(
                f"figure-further-{index}",
                f"What mattered for {what}",
                f"PED-ANOVA over {importances.trials} trials.",
                figures.importance_figure(importances.shares),
            )
    for index, found in enumerate(slices(data, thinned(data, ended, SLICES).records)):
        yield _drawn(f"figure-slice-{index}", found.name, "", figures.slice_figure(found))


def _training(data: ReportData) -> Iterator[Drawn]:
    for kind, rows, draw in (
        ("shares", class_shares(data), figures.share_figure),
        ("norms", gradient_norms(data), figures.norm_figure),
    ):
        for index, found in enumerate(rows):
            yield _drawn(f"figure-{kind}-{index}", found.title, "", draw(found))
    if data.ablation is not None and data.ablation.steps:
        yield _drawn("figure-ablation", "The way to the best", "", figures.ablation_figure(data.ablation))
    table = reliability(data)
    if table is not None:
        yield _drawn(
            "figure-reliability",
            "Calibration",
            f"How often the best configuration is right where it is so sure, on {table.split} data; on the "
            f"dashed line confidence can be taken at its word. Expected calibration error {number(table.ece)}. The "
            "darker a bar, the more predictions.",
            figures.reliability_figure(table),
        )


def _front(data: ReportData) -> Iterator[Drawn]:
    rows = pareto_rows(data)
    for other in range(1, len(data.objectives)):
        if rows:
            yield _drawn(
                f"figure-front-{other}",
                f"{data.objective.metric} against {data.objectives[other].metric}",
                "",
                figures.pareto_figure(rows[:POINTS], data.objectives, other),
            )


def _drawn(id_: str, title: str, caption: str, json: str) -> Drawn:
    return Drawn(id_, title, caption, inert(json))
