"""`abr-tune doctor`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from abr_tune.cli.arguments import Json, Out
from abr_tune.cli.document import echo_json

if TYPE_CHECKING:
    from abr_tune.doctor.checks import Told
    from abr_tune.doctor.finding import Place


def doctor(
    repair: Annotated[
        bool,
        typer.Option("--repair", help="End and remove what dead runs left; never a living run's, never results."),
    ] = False,
    out: Out = Path("results"),
    storage: Annotated[
        str | None, typer.Option("--storage", metavar="URL", help="Also ask this PostgreSQL, as `run` would use it.")
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Leave out what takes seconds: Ray and the graphics card.")
    ] = False,
    json: Json = False,
) -> None:
    """Say what would keep a search from working here, and what dead runs left behind.

    Each line is ok, a note, a warning (it costs something) or a problem (a search would not work), with what to do.
    Nothing is changed without --repair: what it would do is said. Exits with 0 without a problem, with 4 otherwise.

    Examples:

      abr-tune doctor

      abr-tune doctor --quick --repair

      abr-tune doctor --storage postgresql+psycopg://me@host/studies

      abr-tune doctor --json > doctor.json
    """
    from abr_tune.doctor.checks import examine, mend, worst
    from abr_tune.doctor.finding import Place
    from abr_tune.doctor.show import document, show
    from abr_tune.errors import Exit

    began = time.monotonic()
    place = Place(out=out, temp=_temp(), storage=_admitted(storage))
    with _Waiting() as waiting:
        told = examine(place, quick=quick, on_wait=waiting.say)
    mended = list(mend(told)) if repair else []
    if mended:
        told = _again(told, place.anew())
    seconds = time.monotonic() - began
    if json:
        echo_json(document(place, told, mended, seconds))
    else:
        show(_stdout(), told, mended, seconds=seconds, dry=not repair)
    raise typer.Exit(Exit.ENVIRONMENT if worst(told) == "problem" else Exit.DONE)


def _again(told: Sequence[Told], place: Place) -> list[Told]:
    """The findings, those that something was repaired of looked for once more."""
    from abr_tune.doctor.checks import CHECKS, examine

    names = list(dict.fromkeys(each.check for each in told if each.finding.repairs))
    new = examine(place, only=names)
    order = list(CHECKS)
    return sorted([*(each for each in told if each.check not in names), *new], key=lambda each: order.index(each.check))


def _temp() -> Path:
    import tempfile

    return Path(tempfile.gettempdir()).absolute()


def _admitted(storage: str | None) -> str | None:
    if storage is None:
        return None
    from abr_tune.search.storage import admitted

    return admitted(storage)


def _stdout() -> Any:
    """Standard output: plain and with whole lines in a pipe, NO_COLOR obeyed."""
    import sys

    from rich.console import Console

    from abr_tune.cli.show import WIDTH_OF_A_PIPE

    return Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH_OF_A_PIPE)


class _Waiting:
    """Says on standard error what is being waited for: a moving line in a terminal, one line in a pipe."""

    def __init__(self) -> None:
        from abr_tune.console import stderr_console

        self._console = stderr_console()
        self._status: Any = None
        self._said = False

    def __enter__(self) -> _Waiting:
        return self

    def __exit__(self, *_error: object) -> None:
        if self._status is not None:
            self._status.stop()

    def say(self, names: Sequence[str]) -> None:
        said = f"still looking at: {', '.join(names)} ..."
        if self._console.is_terminal:
            if self._status is None:
                self._status = self._console.status(said)
                self._status.start()
            self._status.update(said)
        elif not self._said:
            self._console.print(said)
        self._said = True
