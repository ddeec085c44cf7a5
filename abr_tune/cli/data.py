"""`abr-tune data import`, `data describe`, `data make`: files of recordings."""

from __future__ import annotations

import errno
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from abr_tune.cli.document import echo_json
from abr_tune.errors import EnvironmentFault, FileMistakes, Problem, UserError
from core.data.formats import FORMATS, Format

if TYPE_CHECKING:
    from rich.console import Console

    from core.data.card import Card
    from core.data.check import DataProblem
    from core.data.recordings import Fold, Recordings
    from core.data.simulator import Simulation

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

_FORMATS = "; ".join(f"{name}: {about}" for name, about in FORMATS.items())
_To = Annotated[Path, typer.Option("--to", help="The file to write, .npz or .parquet.")]
_Seed = Annotated[int | None, typer.Option("--seed", min=0, max=2**32 - 1, help="Other patients for every seed (7).")]


@app.command("import")
def import_(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="One file, or several that make one table.")],
    kind: Annotated[Format, typer.Option("--format", help=_FORMATS)],
    to: _To,
    trust_pickle: Annotated[
        bool, typer.Option("--trust-pickle", help="Open a pickle, which runs any code it holds with your rights.")
    ] = False,
) -> None:
    """Bring recordings of another format into one checked file.

    Every mistake is named with its row and column, and nothing is written then.

    Example: abr-tune data import --format csv clinic.csv --to recordings.npz

    Example: abr-tune data import --format epl mice/ABR-* --to mice.parquet
    """
    with _told_to_the_user():
        from core.data.importers import import_recordings
        from core.data.suspicions import suspicions

        _writable(to, files)
        recordings = import_recordings(kind, files, trust_pickle=trust_pickle)
        _write(recordings, to)
    for note in recordings.notes:
        typer.echo(f"note: {note}", err=True)
    for suspicion in suspicions(recordings):
        typer.echo(f"mind: {suspicion}", err=True)
    typer.echo(f"look at them with: abr-tune data describe {shlex.quote(str(to))}", err=True)


@app.command()
def describe(
    source: Annotated[
        str, typer.Argument(metavar="FILE|simulated", help="A file of recordings, or the word simulated.")
    ],
    quick: Annotated[
        bool, typer.Option("--quick", help="simulated: leave out the predictors that are trained for the comparison.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output.")] = False,
) -> None:
    """Print the data card: counts, labels, ranges, imbalance, what gives labels away, trivial baselines, fingerprint.

    Simulated recordings are also compared with the clinic's, and trained predictors show how hard they are.

    Example: abr-tune data describe recordings.npz

    Example: abr-tune data describe simulated --quick
    """
    with _told_to_the_user():
        card = _simulated_card(quick=quick) if source == "simulated" else _file_card(Path(source))
    _print(card, json=json)


@app.command()
def make(
    to: _To,
    train: Annotated[int | None, typer.Option(min=1, help="Recordings to train on (1500).")] = None,
    val: Annotated[int | None, typer.Option(min=1, help="Recordings to validate on (2000).")] = None,
    test: Annotated[int | None, typer.Option(min=1, help="Recordings for the end (4000).")] = None,
    seed: _Seed = None,
) -> None:
    """Write simulated recordings: three files, because validation and test are drawn by quotas of their own.

    Example: abr-tune data make --to simulated.npz    writes simulated-train.npz, simulated-val.npz, simulated-test.npz
    """
    asked = {"train": train, "val": val, "test": test, "seed": seed}
    with _told_to_the_user():
        _writable(to, ())
        for part, recordings in _parts(_simulated({name: n for name, n in asked.items() if n is not None}).fold):
            _write(recordings, to.with_name(f"{to.stem}-{part}{to.suffix}"))


@contextmanager
def _told_to_the_user() -> Iterator[None]:
    """Mistakes in data and paths end the command with their message, without a traceback."""
    from core.data.check import DataMistakes

    try:
        yield
    except DataMistakes as mistakes:
        raise FileMistakes([_problem(mistakes.source, problem) for problem in mistakes.problems]) from mistakes
    except OSError as fault:
        full = fault.errno in {errno.ENOSPC, errno.EDQUOT}
        raise (EnvironmentFault if full else UserError)(f"{fault.filename or 'a file'}: {fault.strerror}") from fault


def _writable(to: Path, sources: Sequence[Path]) -> None:
    """Finds out before long work that the result would have no place."""
    from core.data.files import suffix_of

    suffix_of(to)
    if not to.absolute().parent.is_dir():
        raise UserError(f"{to}: there is no folder {to.parent}; make it first")
    if to.is_dir():
        raise UserError(f"{to}: a folder, not a file")
    if to.absolute() in [source.absolute() for source in sources]:
        raise UserError(f"{to}: would overwrite the file it is made from")


def _write(recordings: Recordings, to: Path) -> None:
    from core.data.card import patient_count
    from core.data.files import write

    write(recordings, to)
    typer.echo(f"wrote {to}: {len(recordings):,} recordings of {patient_count(recordings):,} patients", err=True)


def _problem(source: str, problem: DataProblem) -> Problem:
    message = f"{problem.place}: {problem.message}" if problem.place else problem.message
    return Problem(source, message, line=problem.line, hint=problem.hint)


def _file_card(path: Path) -> Card:
    from core.data.card import describe as describe_table
    from core.data.files import read

    return describe_table(read(path), title=str(path))


def _simulated(asked: dict[str, int]) -> Simulation:
    from core.data.simulator import simulate
    from core.tasks.abr_options import SimulatedData

    return simulate(SimulatedData.model_validate(asked))


def _parts(fold: Fold) -> list[tuple[str, Recordings]]:
    parts = [("train", fold.train), ("val", fold.val), ("test", fold.test)]
    return [(name, recordings) for name, recordings in parts if recordings is not None]


def _simulated_card(*, quick: bool) -> Card:
    from core.data.card import describe_fold
    from core.data.simulated_card import (
        CEILING_PATIENTS,
        clinic_rows,
        clinic_section,
        difficulty_section,
        reference_rows,
    )

    simulation = _simulated({})
    whole = max((recordings for _, recordings in _parts(simulation.fold)), key=len)
    extra = [clinic_section(clinic_rows(whole))]
    if not quick:
        typer.echo("training the predictors for the comparison; --quick leaves them out", err=True)
        extra.append(difficulty_section(reference_rows(simulation, ceiling_patients=CEILING_PATIENTS)))
    return describe_fold(simulation.fold, title="simulated recordings, default settings", extra=extra)


def _print(card: Card, *, json: bool) -> None:
    from core.data.card import plain_text

    if json:
        echo_json(card.to_json())
        return
    from rich.console import Console

    console = Console(highlight=False)
    if console.is_terminal:
        _print_tables(card, console)
    else:
        typer.echo(plain_text(card), nl=False)


def _print_tables(card: Card, console: Console) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from core.data.card import shown

    console.print(Text(card.title, style="bold"))
    for part, fingerprint in card.fingerprints.items():
        console.print(Text(f"fingerprint of {part}: {fingerprint}"), soft_wrap=True)
    for section in card.sections:
        if not section.rows:
            continue
        table = Table(title=section.title, title_justify="left", box=box.SIMPLE_HEAD, caption=section.remark or None)
        table.caption_justify, table.pad_edge, table.collapse_padding = "left", False, True
        for index, name in enumerate(section.columns):
            numeric = any(isinstance(row[index], int | float) for row in section.rows)
            table.add_column(name, justify="right" if numeric else "left", no_wrap=numeric, overflow="fold")
        for row in section.rows:
            table.add_row(*(Text(shown(cell)) for cell in row))
        console.print(table)
