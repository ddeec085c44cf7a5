"""`abr-tune version`."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version as installed
from platform import python_version

import typer

from abr_tune import __version__


def show_version(asked: bool) -> None:
    """`abr-tune --version`: as `abr-tune version`."""
    if asked:
        version()
        raise typer.Exit


def version() -> None:
    """Print the versions of abr-tune and of the libraries it stands on."""
    typer.echo(f"abr-tune {__version__}")
    typer.echo(f"python {python_version()}")
    for package in ("torch", "ray", "optuna", "optuna-dashboard", "pydantic"):
        try:
            typer.echo(f"{package} {installed(package)}")
        except PackageNotFoundError:
            typer.echo(f"{package} not installed")
