"""`abr-tune bank`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from abr_tune.cli.again import typed_again
from abr_tune.cli.arguments import Address, Executor, Jobs, Overrides, TrustCode, refuse_beside_inline


def bank(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="SPACE", help="A space file.")],
    trials: Annotated[int, typer.Option("--trials", min=1, help="How many trials the bank is to hold.")],
    to: Annotated[
        Path | None, typer.Option("--to", metavar="FOLDER", help="The bank; default: banks/<name of the space>.")
    ] = None,
    overrides: Overrides = None,
    jobs: Jobs = None,
    executor: Executor = "ray",
    address: Address = None,
    seeds: Annotated[
        int, typer.Option("--seeds", min=0, help="Fresh seeds with which the best trials are trained again.")
    ] = 0,
    top: Annotated[int, typer.Option("--top", min=1, help="How many of the best, with --seeds.")] = 64,
    trust_code: TrustCode = False,
) -> None:
    """Record full-length learning curves of random configurations, to measure searches on them with `replay`.

    The start points come first. Health rules and ranking are off; a trial ends early only when something is not
    finite. With --seeds the best are trained again: one seed's best are partly luck, and `replay` then judges by means.
    Interrupted, it keeps what is whole; given again, perhaps with more trials, it goes on.

    Examples:

      abr-tune bank search_spaces/phase1.yaml --trials 300

      abr-tune bank search_spaces/phase1.yaml --trials 300 --seeds 2 --top 64

      abr-tune bank search_spaces/smoke.yaml --trials 20 --executor inline --to /tmp/smoke
    """
    from abr_tune.bank.record import record
    from abr_tune.plan.load import load_plan

    refuse_beside_inline(executor, address, jobs)
    plan = load_plan(file, overrides=overrides or (), trust_code=trust_code)
    raise typer.Exit(
        record(
            plan,
            to or Path("banks") / plan.name,
            trials=trials,
            overrides=overrides or (),
            executor=executor,
            jobs=jobs,
            address=address,
            top=top,
            seeds=seeds,
            command=typed_again(context),
        )
    )
