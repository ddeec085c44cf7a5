"""The sub-commands, in the order of the help page."""

from __future__ import annotations

from typing import Annotated

import typer

from abr_tune.cli.bank import bank
from abr_tune.cli.compare import compare
from abr_tune.cli.dashboard import dashboard
from abr_tune.cli.data import app as data
from abr_tune.cli.doctor import doctor
from abr_tune.cli.evaluate import evaluate
from abr_tune.cli.explain import explain
from abr_tune.cli.export import export
from abr_tune.cli.gate import gate
from abr_tune.cli.init import init
from abr_tune.cli.predict import predict
from abr_tune.cli.replay import replay
from abr_tune.cli.report import report
from abr_tune.cli.run import run
from abr_tune.cli.schema import schema
from abr_tune.cli.show import ls, show, trials
from abr_tune.cli.stop import stop
from abr_tune.cli.train import train
from abr_tune.cli.validate import validate
from abr_tune.cli.verify import verify
from abr_tune.cli.version import show_version, version

app = typer.Typer(
    name="abr-tune",
    epilog="Start with: abr-tune init my.yaml, then abr-tune validate my.yaml, then abr-tune run my.yaml",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def main(
    _: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Print the versions and exit.")
    ] = False,
) -> None:
    """Search training configurations that do not collapse: one YAML file in, a confirmed best configuration out."""


for command in (
    init,
    validate,
    run,
    stop,
    ls,
    show,
    trials,
    export,
    train,
    verify,
    predict,
    evaluate,
    gate,
    explain,
    compare,
    report,
    dashboard,
):
    app.command()(command)
app.command()(bank)
app.command()(replay)
app.add_typer(data, name="data", help="Make, import and describe recordings.")
app.command()(schema)
app.command()(doctor)
app.command()(version)
