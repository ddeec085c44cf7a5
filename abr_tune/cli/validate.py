"""`abr-tune validate`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from abr_tune.cli.arguments import Overrides, TrustCode
from abr_tune.errors import Exit, FileMistakes, Problem
from abr_tune.plan.plan import Plan
from abr_tune.plan.stages import Stages

Format = Literal["text", "json", "github"]


def validate(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Space files.")],
    overrides: Overrides = None,
    format: Annotated[  # noqa: A002 - the option's name
        Format,
        typer.Option("--format", help="text for people, json for programs, github for annotations in a pull request."),
    ] = "text",
    trust_code: TrustCode = False,
) -> None:
    """Check space files: every mistake at once, with its place and what was probably meant.

    What this machine lacks for a file, such as cores or the recordings, is a warning: another may have it.

    Examples:

      abr-tune validate search_spaces/phase1.yaml

      abr-tune validate search_spaces/*.yaml --format github
    """
    from abr_tune.plan.notes import notes
    from abr_tune.plan.yaml import printable

    found = {file: _check(file, overrides or (), trust_code) for file in files}
    problems = [problem for result in found.values() for problem in _problems(result)]
    if format == "json":
        _print_json(found)
    else:
        for problem in problems:
            typer.echo(str(problem) if format == "text" else annotation(problem))
        for file, result in found.items():
            if isinstance(result, Plan):
                typer.echo(f"{printable(str(file))}: ok, {sentence(result)}")
                for note in notes(result):
                    typer.echo(f"  {note}")
            elif isinstance(result, Stages):
                typer.echo(f"{printable(str(file))}: ok, {_count(len(result.stages), 'stage')}")
                for stage in result.stages:
                    typer.echo(f"  {stage.name}: {sentence(stage.plan)}")
                    for note in notes(stage.plan):
                        typer.echo(f"    {note}")
    raise typer.Exit(Exit.DONE if all(isinstance(result, Plan | Stages) for result in found.values()) else Exit.MISTAKE)


def sentence(plan: Plan) -> str:
    """What a plan asks for, in numbers."""
    counts = [
        _count(len(plan.space.paths), "searched path"),
        _count(plan.budget.trials, "trial"),
        _count(len(plan.start_from), "start point"),
        " and ".join(f"{one.direction} {one.metric}" for one in plan.objectives),
    ]
    return ", ".join(counts)


def annotation(problem: Problem) -> str:
    """The mistake or warning as a workflow command that GitHub shows at its line."""
    message = problem.message + (f"; {problem.hint}" if problem.hint else "")
    place = "".join(f",{key}={value}" for key, value in (("line", problem.line), ("col", problem.column)) if value)
    return f"::{problem.level} file={_escaped(problem.file, ':,')}{place}::{_escaped(message, '')}"


def _check(file: Path, overrides: Sequence[str], trust_code: bool) -> Plan | Stages | Sequence[Problem]:
    from abr_tune.plan.load import load_plan
    from abr_tune.plan.stages import Arguments, load_stages, names_stages

    try:
        if names_stages(file):
            return load_stages(file, overrides=overrides, arguments=Arguments(trust_code=trust_code))
        return load_plan(file, overrides=overrides, trust_code=trust_code)
    except FileMistakes as mistakes:
        return mistakes.problems


def _problems(result: Plan | Stages | Sequence[Problem]) -> Sequence[Problem]:
    return result.warnings if isinstance(result, Plan | Stages) else result


def _print_json(found: dict[Path, Plan | Stages | Sequence[Problem]]) -> None:
    import json
    from dataclasses import asdict

    from abr_tune.plan.yaml import printable

    results = [
        {
            "file": printable(str(file)),
            "ok": isinstance(result, Plan | Stages),
            "problems": [] if isinstance(result, Plan | Stages) else [asdict(one) for one in result],
            "warnings": [asdict(one) for one in result.warnings] if isinstance(result, Plan | Stages) else [],
        }
        for file, result in found.items()
    ]
    typer.echo(json.dumps(results, indent=2, ensure_ascii=False))


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _escaped(text: str, more: str) -> str:
    for char in f"%\r\n{more}":
        text = text.replace(char, f"%{ord(char):02X}")
    return text
