"""`replay.json` and `replay.html` of a comparison."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from abr_tune.replay.ground import Ground
from abr_tune.replay.methods import METHODS
from abr_tune.replay.replay import Comparison
from abr_tune.replay.show import as_json, as_text, regret_curves
from abr_tune.report.assets import asset, hashes, inert, inline
from abr_tune.report.figures import plotly_js
from abr_tune.report.figures.comparison import regret_figure
from abr_tune.runs import write_atomically, write_json


def write_page(folder: Path, comparison: Comparison, ground: Ground, name: str) -> None:
    """Write both into `folder`; the page needs nothing else and asks nobody for anything."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "replay.json", as_json(comparison, ground, name))
    write_atomically(folder / "replay.html", _render(comparison, ground, name))


def _render(comparison: Comparison, ground: Ground, name: str) -> str:
    scripts = [inline(plotly_js()), asset("report.js")] if comparison.rows else []
    environment = Environment(loader=PackageLoader("abr_tune.report"), autoescape=True, undefined=StrictUndefined)
    return environment.get_template("replay.html.j2").render(
        name=name,
        text=as_text(comparison, ground, name),
        figure=inert(regret_figure(regret_curves(comparison), METHODS["ours"].label)) if scripts else None,
        style=asset("report.css"),
        scripts=scripts,
        hashes=hashes(scripts),
    )
