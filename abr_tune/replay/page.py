"""`replay.json` and `replay.html` of a comparison."""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from abr_tune.replay.ground import Ground
from abr_tune.replay.methods import METHODS
from abr_tune.replay.replay import Comparison
from abr_tune.replay.show import as_json, as_text, regret_curves
from abr_tune.report.figures import plotly_js
from abr_tune.report.figures.comparison import regret_figure
from abr_tune.runs import write_atomically, write_json


def write_page(folder: Path, comparison: Comparison, ground: Ground, name: str) -> None:
    """Write both into `folder`; the page needs nothing else and asks nobody for anything."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "replay.json", as_json(comparison, ground, name))
    write_atomically(folder / "replay.html", _render(comparison, ground, name))


def _render(comparison: Comparison, ground: Ground, name: str) -> str:
    scripts = [plotly_js(), _asset("report.js")] if comparison.rows else []
    environment = Environment(loader=PackageLoader("abr_tune.report"), autoescape=True, undefined=StrictUndefined)
    return environment.get_template("replay.html.j2").render(
        name=name,
        text=as_text(comparison, ground, name),
        figure=_inert(regret_figure(regret_curves(comparison), METHODS["ours"].label)) if scripts else None,
        style=Markup(_asset("report.css")),  # noqa: S704 - our own
        scripts=[Markup(script) for script in scripts],  # noqa: S704 - our own
        hashes=" ".join(f"'sha256-{_digest(script)}'" for script in scripts) or "'none'",
    )


def _inert(json: str) -> Markup:
    """JSON that cannot end the script element it stands in."""
    return Markup(json.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))  # noqa: S704


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _asset(name: str) -> str:
    return (files("abr_tune.report") / "templates" / name).read_text(encoding="utf-8")
