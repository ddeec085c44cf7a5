"""`abr-tune run`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from abr_tune.cli.again import typed_again
from abr_tune.cli.arguments import Address, Executor, Jobs, Json, Out, Overrides, TrustCode, refuse_beside_inline
from abr_tune.errors import UserError

if TYPE_CHECKING:
    from abr_tune.plan.plan import Plan

STARTED = time.monotonic()


def run(
    context: typer.Context,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A space file; `abr-tune init` writes one to start from.")
    ],
    overrides: Overrides = None,
    name: Annotated[
        str | None, typer.Option("--name", help="Name of the run folder; default: the file's name key.")
    ] = None,
    out: Out = Path("results"),
    trials: Annotated[int | None, typer.Option("--trials", min=1, help="Budget of trials, over the file's.")] = None,
    time_budget: Annotated[
        str | None, typer.Option("--time", metavar="10m", help="Budget of time, over the file's.")
    ] = None,
    jobs: Jobs = None,
    storage: Annotated[
        str | None,
        typer.Option(
            "--storage",
            metavar="URL",
            help="Where the study is kept: postgresql+psycopg://user@host/db; default: study.db in the run folder.",
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="Seed of every trial and of the sampler.")] = None,
    executor: Executor = "ray",
    address: Address = None,
    join: Annotated[
        bool, typer.Option("--join", help="Work beside the driver of this run; needs PostgreSQL and a shared folder.")
    ] = False,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Set an earlier run of this name aside and start anew.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check the file, show what would be tried, run nothing.")
    ] = False,
    trust_code: TrustCode = False,
    json: Json = False,
) -> None:
    """Search: run trials until the budget is spent, confirm the leaders, export the best configuration.

    An interrupted run of the same name goes on where it stopped. A file of stages runs several searches in order, as
    long as their gates say go; --trials, --time and --seed are then said to each, and `--set phase2.budget.trials=5`
    to one.

    Examples:

      abr-tune run search_spaces/phase1.yaml

      abr-tune run search_spaces/phase1.yaml --trials 10 --set train.epochs=5 --name quick

      abr-tune run search_spaces/smoke.yaml --executor inline --json > summary.json

      abr-tune run search_spaces/recovery.yaml

      abr-tune run search_spaces/phase1.yaml --storage postgresql+psycopg://me@localhost/studies --join
    """
    from abr_tune.plan.load import load_plan
    from abr_tune.plan.stages import Arguments, Stages, load_stages, names_stages

    refuse_beside_inline(executor, address, jobs)
    plan: Plan | Stages
    if names_stages(file):
        _refuse_shared(storage, join=join)
        arguments = Arguments(trials=trials, seconds=time_budget, seed=seed, trust_code=trust_code)
        plan = load_stages(file, overrides=overrides or (), name=name, arguments=arguments, results=out)
    else:
        plan = load_plan(
            file,
            overrides=overrides or (),
            name=name,
            trials=trials,
            seconds=time_budget,
            seed=seed,
            trust_code=trust_code,
            results=out,
        )
    if dry_run:
        from abr_tune.preview import preview, preview_stages

        preview_stages(plan) if isinstance(plan, Stages) else preview(plan)
        raise typer.Exit
    from abr_tune.join import refuse_unshared
    from abr_tune.materials import Launch
    from abr_tune.run import run as search
    from abr_tune.search.signals import Signalled
    from abr_tune.search.storage import admitted
    from abr_tune.stages.run import run_stages

    storage = None if storage is None else admitted(storage)
    if join:
        refuse_unshared(storage, fresh=fresh)
    launch = Launch(
        out=out,
        jobs=jobs,
        storage=storage,
        executor=executor,
        address=address,
        join=join,
        fresh=fresh,
        json=json,
        command=typed_again(context, without="fresh", instead={"storage": storage}),
        started=STARTED,
    )
    try:
        code = run_stages(plan, launch) if isinstance(plan, Stages) else search(plan, launch)
    except (KeyboardInterrupt, Signalled):
        typer.echo(f"interrupted; continue with: {launch.command}", err=True)
        raise
    raise typer.Exit(code)


def _refuse_shared(storage: str | None, *, join: bool) -> None:
    """Raise `UserError` where the stages of a file are to be kept or worked on together with others."""
    if storage is not None or join:
        raise UserError(
            "a file of stages keeps each study in the folder of its stage: leave --storage and --join out, or run the "
            "files it names one by one, each with `from:` the one before"
        )
