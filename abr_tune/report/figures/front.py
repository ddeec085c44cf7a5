"""Several objectives against one another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import plotly.graph_objects as go

from abr_tune.report.figures.style import COLOURS, SOFT, figure_json, hover, rounded
from abr_tune.report.pareto import STANDINGS, ParetoRow, Standing
from abr_tune.report.wording import number
from core.tasks.task import Objective

MARKS: Final[Mapping[Standing, dict[str, Any]]] = {
    "infeasible": {"color": COLOURS["health"], "symbol": "x-open", "size": 8},
    "dominated": {"color": SOFT, "symbol": "circle-open", "size": 7},
    "front": {"color": COLOURS["best"], "symbol": "circle", "size": 10},
}


def pareto_figure(rows: Sequence[ParetoRow], objectives: Sequence[Objective], other: int) -> str:
    """The first objective against another one; for exactly two, the front is joined."""
    figure = go.Figure()
    for standing, mark in MARKS.items():
        chosen = [row for row in rows if row.standing == standing]
        if not chosen:
            continue
        joined = standing == "front" and len(objectives) == 2
        figure.add_trace(
            go.Scatter(
                x=rounded(row.values[0] for row in chosen),
                y=rounded(row.values[other] for row in chosen),
                mode="lines+markers" if joined else "markers",
                line={"color": COLOURS["best"], "width": 1.5, "dash": "dot"},
                marker=mark,
                hovertext=[hover(_said(row, objectives)) for row in chosen],
                hoverinfo="text",
            )
        )
    figure.update_xaxes(title_text=_axis(objectives[0]))
    return figure_json(figure, x=_axis(objectives[0]), y=_axis(objectives[other]), height=400)


def _axis(objective: Objective) -> str:
    return f"{objective.metric} ({'higher' if objective.direction == 'maximize' else 'lower'} is better)"


def _said(row: ParetoRow, objectives: Sequence[Objective]) -> str:
    name = f" ({row.name})" if row.name else ""
    scores = [f"{o.metric} {number(value)}" for o, value in zip(objectives, row.values, strict=True)]
    missed = [f"misses {', '.join(row.missed)}"] if row.missed else []
    return "\n".join([f"trial {row.trial}{name}: {STANDINGS[row.standing]}", *scores, *missed])
