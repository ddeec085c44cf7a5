"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from abr_tune.errors import UserError

Run = Annotated[
    str, typer.Argument(metavar="RUN", help="Name of a run under the results folder, or a path to its folder.")
]
Out = Annotated[Path, typer.Option("--out", help="The results folder.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="K=V",
        help="Override a key of the file, e.g. --set budget.trials=5; the value is read like YAML.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output.")]
Executor = Annotated[
    Literal["ray", "inline"],
    typer.Option("--executor", help="ray, or inline: one training after another in this process."),
]
Jobs = Annotated[int | None, typer.Option("--jobs", min=1, help="Trainings at a time; default: what the cores allow.")]
Address = Annotated[
    str | None,
    typer.Option("--address", metavar="HOST:PORT", help="A running Ray cluster; default: one of its own, here."),
]
TrustCode = Annotated[
    bool, typer.Option("--trust-code", help="Import the task the file names as module:attribute; this runs its code.")
]


def refuse_beside_inline(executor: Literal["ray", "inline"], address: str | None, jobs: int | None) -> None:
    """Raise `UserError` for a cluster, or several at a time, given to trainings that stay in this process."""
    if executor == "inline" and address is not None:
        raise UserError("--executor inline trains in this process, --address on a Ray cluster: leave one of them out")
    if executor == "inline" and (jobs or 1) > 1:
        raise UserError(f"--executor inline trains one at a time, not --jobs {jobs}: leave one of them out")
