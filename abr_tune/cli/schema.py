"""`abr-tune schema`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def schema(
    to: Annotated[
        Path | None, typer.Option("--to", metavar="FILE", help="Write it here instead of printing it.")
    ] = None,
) -> None:
    """Print the JSON Schema of space files, for completion and checks while typing in an editor.

    A space file refers to it in its first line: # yaml-language-server: $schema=abr-tune.schema.json

    Examples:

      abr-tune schema --to abr-tune.schema.json
    """
    from abr_tune.plan.editor import editor_schema

    text = editor_schema()
    if to is None:
        typer.echo(text, nl=False)
    else:
        to.write_text(text, encoding="utf-8")
        typer.echo(f"wrote {to}", err=True)
