"""`abr-tune ls`, `abr-tune show`, `abr-tune trials`: what runs there are and how they went."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

from abr_tune.cli.arguments import Json, Out, Run
from abr_tune.cli.document import echo_json

if TYPE_CHECKING:
    from abr_tune.runs import RunFolder
    from abr_tune.search.events import TrialRecord

WIDTH_OF_A_PIPE: Final = 2000
"""Characters of a line beyond which even a pipe gets it shortened."""


def ls(out: Out = Path("results"), json: Json = False) -> None:
    """List the runs of a results folder with their state and best score.

    Example: abr-tune ls
    """
    from abr_tune.borders import as_damage, refuse_links
    from abr_tune.errors import AbrTuneError
    from abr_tune.runs import driver_of, runs_in
    from abr_tune.under_way import left_behind

    rows = []
    for run in _with_stages(runs_in(out)):
        try:
            with as_damage(run.path):
                summary = run.read_summary()
                # A list does not wait for databases elsewhere.
                if summary is None and run.study.is_file():
                    refuse_links(run.path)
                    summary = left_behind(run)
                row = _row(_called(run, out), summary or {})
                if driver_of(run.path) is not None:
                    row["state"] = "running"
        except AbrTuneError:  # the others are to be seen all the same; `show` says what is wrong with this one
            row = _row(_called(run, out), {"state": "damaged"})
        rows.append(row)
    if json:
        echo_json(rows)
    elif rows:
        _print_table(rows)
    else:
        typer.echo(f"no runs in {out}; start one with: abr-tune run SPACE.yaml", err=True)


def _with_stages(runs: Iterable[RunFolder]) -> Iterator[RunFolder]:
    """The runs, each run of stages followed by those of its stages that have begun."""
    from abr_tune.errors import AbrTuneError
    from abr_tune.stages.folder import stages_in

    for run in runs:
        yield run
        try:
            stages = stages_in(run.path) or ()
        except AbrTuneError:  # said of the run itself
            stages = ()
        yield from (stage for stage in stages if stage.space.is_file())


def _called(run: RunFolder, out: Path) -> str:
    """The name of a run under the results folder, as commands take it."""
    return run.path.relative_to(out).as_posix()


def _row(name: str, summary: Mapping[str, Any]) -> dict[str, object]:
    best = summary.get("best") or summary.get("leading") or {}
    value = best.get("value")
    return {
        "name": name,
        "state": summary.get("state", "unfinished"),
        "trials": sum(summary.get("trials", {}).values()),
        "objective": summary.get("objective", {}).get("metric"),
        "best": None if value is None else float(value),
        "gate": (summary.get("gate") or {}).get("verdict"),
    }


def show(run: Run, out: Out = Path("results"), json: Json = False) -> None:
    """Say how a run went: its best configuration, what was stopped and why, where things are.

    Of a run that is being driven at the moment: by which process, since when, and what it has so far. Of one that was
    interrupted or killed: how to go on with it.

    Example: abr-tune show phase1
    """
    from abr_tune.borders import as_damage
    from abr_tune.runs import RunFolder, find_run
    from abr_tune.stages.folder import stages_in
    from abr_tune.summary import sentences
    from abr_tune.under_way import how_to_go_on, left_behind, sentences_left, sentences_now, under_way

    folder = RunFolder(find_run(run, out))
    with as_damage(folder.path):
        if stages_in(folder.path) is not None:
            _show_stages(folder, json=json)
            return
        now = under_way(folder)
    if now is not None:
        _say(now, sentences_now(now, str(folder.path)), json=json)
        return
    summary = folder.read_summary()
    with as_damage(folder.path):
        if summary is None or (summary.get("state") == "interrupted" and folder.study.is_file()):
            left = left_behind(folder)
            # An interrupted run that went on and was killed then has the summary of the time before.
            if summary is None or left["trials"] != {name: count for name, count in summary["trials"].items() if count}:
                _say(left, sentences_left(left), json=json)
                return
        go_on = [f"continue   {how_to_go_on(folder)}"] if summary.get("state") == "interrupted" else []
        _say(summary, (*sentences(summary, str(folder.path)), *go_on), json=json)


def _show_stages(folder: RunFolder, *, json: bool) -> None:
    from abr_tune.runs import driver_of
    from abr_tune.stages.page import told_now
    from abr_tune.stages.summary import sentences_of_stages
    from abr_tune.under_way import how_to_go_on

    summary = told_now(folder.path)
    driving = driver_of(folder.path)
    if driving is not None:
        summary |= {"state": "running", "driver": str(driving.process), "since": driving.since}
    lines = [*sentences_of_stages(summary, str(folder.path))]
    if driving is not None:
        lines.append(f"driver     {driving}")
    elif summary["state"] != "finished":
        lines.append(f"continue   {how_to_go_on(folder)}")
    _say(summary, lines, json=json)


def _say(content: Mapping[str, Any], sentences: Iterable[str], *, json: bool) -> None:
    """Print `content` for a program, or the sentences for a person."""
    from abr_tune.plain import visible

    if json:
        echo_json(content)
    for sentence in () if json else sentences:
        typer.echo(visible(sentence))


def trials(
    run: Run,
    state: Annotated[
        Literal["complete", "pruned", "failed", "running", "waiting"] | None,
        typer.Option("--state", help="Only the trials in this state."),
    ] = None,
    out: Out = Path("results"),
    json: Json = False,
) -> None:
    """List the trials of a run: state, value, parameters, and why a trial was stopped.

    Example: abr-tune trials phase1 --state pruned
    """
    from abr_tune.borders import as_damage
    from abr_tune.runs import find_run
    from abr_tune.search.archive import read_records
    from abr_tune.stages.folder import one_search

    folder = one_search(find_run(run, out))
    with as_damage(folder):
        _print_trials([record for record in read_records(folder) if state in {None, record.state}], json=json)


def _print_trials(records: Sequence[TrialRecord], *, json: bool) -> None:
    from abr_tune.console import parameters

    if json:
        columns = ("number", "state", "value", "params", "pruned_by", "why", "epochs", "seconds")
        echo_json([{name: asdict(record)[name] for name in columns} for record in records])
    elif records:
        _print_table(
            [
                {
                    "trial": record.number,
                    "state": record.state,
                    "value": record.value,
                    "epochs": record.epochs,
                    "stopped by": record.pruned_by,
                    "settings": " ".join(filter(None, (record.name and f"[{record.name}]", parameters(record.params)))),
                }
                for record in records
            ]
        )
    else:
        typer.echo("no such trials", err=True)


def _print_table(rows: list[dict[str, object]]) -> None:
    """Rows with the same keys as a table; a pipe gets whole lines, a terminal shortens the last column."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from abr_tune.plain import visible

    console = Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH_OF_A_PIPE)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name, sample in rows[0].items():
        table.add_column(
            name, justify="right" if isinstance(sample, int | float) else "left", no_wrap=True, overflow="ellipsis"
        )
    for row in rows:
        table.add_row(*(Text(visible(_cell(value))) for value in row.values()))
    console.print(table)


def _cell(value: object) -> str:
    return "-" if value is None else f"{value:.4f}" if isinstance(value, float) else str(value)
