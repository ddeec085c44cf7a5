"""What `--json` prints."""

from __future__ import annotations

from json import dumps
from typing import Any

import typer


def echo_json(content: Any) -> None:
    """One document of strict JSON on standard output."""
    typer.echo(dumps(content, indent=2, ensure_ascii=False, allow_nan=False))
