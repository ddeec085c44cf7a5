"""`report.html` of a run of stages: one after another with their gates and scores; each has a page of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined

from abr_tune.console import clock
from abr_tune.errors import UserError
from abr_tune.plan import yaml
from abr_tune.report.assets import asset
from abr_tune.report.data import tested
from abr_tune.report.tables import COUNTS
from abr_tune.report.wording import number
from abr_tune.runs import RunFolder, driver_of, write_atomically
from abr_tune.stages.folder import stages_in
from abr_tune.stages.summary import State, summarise_stages, why_it_stopped
from abr_tune.start import in_words


@dataclass(frozen=True, slots=True)
class Score:
    """One metric over the stages."""

    metric: str
    baseline: float | None
    """Of the trivial predictor on the validation recordings of the last stage that has one."""
    values: tuple[float | None, ...]
    """The best of each stage, as it is to be expected: on fresh seeds where there are some."""
    test: float | None


def told_now(folder: Path) -> dict[str, Any]:
    """What can be said of the stages of a run as they are now, finished or not.

    Raises:
        UserError: the folder holds no stages, or a summary in it is damaged.
    """
    stages = stages_in(folder)
    if stages is None:
        raise UserError(f"{folder} is not the folder of a run of stages")
    written = RunFolder(folder).read_summary() or {}
    state: State = written.get("state", "unfinished")
    about = str(yaml.read(RunFolder(folder).plan, limits=yaml.WRITTEN_OUT).data.get("about") or "")
    return summarise_stages(folder, stages, state=state, about=about)


def write_page(folder: Path) -> Path:
    """Write `report.html` into the folder of the whole and return where it is. Raises `UserError` as `told_now`."""
    target = RunFolder(folder).report
    write_atomically(target, render(told_now(folder), folder))
    return target


def render(summary: Mapping[str, Any], folder: Path) -> str:
    """The whole page; it needs nothing else, asks nobody for anything, and links to the pages of the stages."""
    environment = Environment(
        loader=PackageLoader("abr_tune.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters |= {"number": number, "clock": clock, "in_words": in_words}
    return environment.get_template("stages.html.j2").render(
        summary=summary,
        state="running" if driver_of(folder) is not None and summary["state"] != "finished" else summary["state"],
        links=_links(summary, folder),
        scores=list(scores(summary)),
        stopped=(why_it_stopped(summary) or "").removeprefix("stopped").strip(),
        style=asset("report.css"),
    )


def scores(summary: Mapping[str, Any]) -> Iterator[Score]:
    """Every validation metric with a trivial baseline that the best of some stage has."""
    stages: Sequence[Mapping[str, Any]] = summary["stages"]
    best = [_expected(stage) for stage in stages]
    baselines: dict[str, float] = {}
    for stage in stages:
        baselines |= stage["baselines"]
    for metric, baseline in baselines.items():
        values = tuple(each.get(metric) for each in best)
        if metric.startswith("val/") and not COUNTS.search(metric) and any(value is not None for value in values):
            yield Score(metric, baseline, values, summary["test"].get(tested(metric)))


def _expected(stage: Mapping[str, Any]) -> Mapping[str, float]:
    if stage["finalists"]:
        metrics: Mapping[str, float] = stage["finalists"][0]["metrics"]
        return metrics
    return (stage["best"] or {}).get("metrics") or {}


def _links(summary: Mapping[str, Any], folder: Path) -> dict[str, str]:
    """Stage -> its page, relative to that of the whole, where there is one."""
    names = (stage["name"] for stage in summary["stages"])
    return {name: f"{quote(name)}/report.html" for name in names if RunFolder(folder / name).report.is_file()}
