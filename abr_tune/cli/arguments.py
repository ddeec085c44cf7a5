"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

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
TrustCode = Annotated[
    bool, typer.Option("--trust-code", help="Import the task the file names as module:attribute; this runs its code.")
]
