"""The page: rows and figures into one HTML file that needs nothing else and asks nobody for anything.

Every text is escaped. A content security policy allows exactly the two scripts of the page, by their hashes, and no
request of any kind; the data of the figures are inert JSON.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from abr_tune.console import clock
from abr_tune.report import figures, overview, plots, tables
from abr_tune.report.data import ReportData
from abr_tune.report.outcomes import OUTCOMES
from abr_tune.report.wording import number


@dataclass(frozen=True, slots=True)
class Drawn:
    """A figure of the page; its id is fixed by us and never made from data."""

    id: str
    title: str
    caption: str
    json: Markup


def render(data: ReportData, folder: str) -> str:
    """The whole page; `folder` is how the commands on it name the run folder."""
    drawn = {figure.id: figure for figure in _figures(data)}
    scripts = [_inline(figures.plotly_js()), _inline(_asset("report.js"))] if drawn else []
    environment = Environment(
        loader=PackageLoader("abr_tune.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters |= {"number": number, "clock": clock}
    return environment.get_template("report.html.j2").render(
        data=data,
        state=data.summary.get("state", "not finished"),
        gate=data.summary.get("gate"),
        data_line=overview.data_line(data),
        sentences=list(overview.headline(data)),
        steps=list(overview.next_steps(data, folder)),
        tiles=list(overview.tiles(data)),
        standing=tables.standing_rows(data),
        references=tables.reference_rows(data),
        metrics=tables.metric_rows(data),
        stops=tables.stop_rows(data),
        trials=tables.trial_rows(data),
        settings=tables.settings(data),
        environment=tables.environment_rows(data.environment),
        outcomes=OUTCOMES,
        figures=drawn,
        colours=figures.COLOURS,
        style=_inline(_asset("report.css")),
        scripts=scripts,
        script_hashes=" ".join(f"'{_hash(script)}'" for script in scripts) or "'none'",
    )


def _figures(data: ReportData) -> Iterator[Drawn]:
    metric = data.objective.metric
    curves, points, panels = plots.curves(data), plots.history(data), plots.panels(data)
    baseline = data.baselines.get(metric)
    if curves:
        yield _drawn(
            "figure-curves",
            "Learning curves",
            "The objective after each epoch, one line per trial; the mark is where it ended. Point at a mark for the "
            "reason, click on the legend to hide a group.",
            figures.curve_figure(curves, metric, baseline),
        )
    if points:
        yield _drawn(
            "figure-history",
            "History",
            "Trials in the order they were started. A stopped trial stands at the score it had when it was stopped, "
            "which is not comparable with a full run.",
            figures.history_figure(points, metric),
        )
    if data.importances.shares:
        yield _drawn(
            "figure-importances",
            "What mattered",
            f"PED-ANOVA over the {data.importances.trials} trials with a score at epoch {data.importances.epoch}: "
            "which settings set the best quarter apart. Those searched only under a condition are left out.",
            figures.importance_figure(data.importances.shares),
        )
    if panels:
        yield _drawn(
            "figure-panels",
            "Settings",
            "The score each trial ended with against each searched value; symbols and colours as above.",
            figures.panel_figure(panels, metric),
        )


def _drawn(id_: str, title: str, caption: str, json: str) -> Drawn:
    return Drawn(id_, title, caption, _inert(json))


def _inert(json: str) -> Markup:
    """JSON that cannot end the script element it stands in, whatever text it holds."""
    return Markup(json.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))  # noqa: S704


def _inline(asset: str) -> Markup:
    """One of our own scripts or styles, for its element."""
    if "</script" in asset.lower() or "</style" in asset.lower():
        raise ValueError("the text would end the element it stands in")
    return Markup(asset)  # noqa: S704


def _hash(script: str) -> str:
    digest = hashlib.sha256(script.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"


def _asset(name: str) -> str:
    return (files("abr_tune.report") / "templates" / name).read_text(encoding="utf-8")
