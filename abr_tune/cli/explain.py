"""`abr-tune explain`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from abr_tune.cli.again import typed_again
from abr_tune.cli.arguments import Executor, Jobs, Json, Out, Run, TrustCode, refuse_beside_inline
from abr_tune.cli.document import echo_json

if TYPE_CHECKING:
    from abr_tune.ablation import Ablation


def explain(
    context: typer.Context,
    run: Run,
    start: Annotated[
        str | None,
        typer.Option("--from", metavar="NAME", help="A start point of the run, or `defaults`; default: the first one."),
    ] = None,
    seeds: Annotated[
        int | None, typer.Option("--seeds", min=1, help="Seeds for each step; default: those of the confirmation.")
    ] = None,
    budget: Annotated[
        int | None,
        typer.Option("--budget", min=1, help="Trainings it may take; default: two levers are tried at each step."),
    ] = None,
    executor: Executor = "ray",
    jobs: Jobs = None,
    out: Out = Path("results"),
    trust_code: TrustCode = False,
    json: Json = False,
) -> None:
    """Say which changed lever brought how much: the way from a start point to the best configuration, really trained.

    One lever is changed after the other, the most promising first, and each step is trained on the seeds of the
    confirmation. A small budget changes the least promising levers together. Trainings are kept under ablation/ and
    never repeated; an interrupted way goes on. The report shows the result, and until then an estimate.

    Examples:

      abr-tune explain phase1

      abr-tune explain phase1 --from "emergency fixes" --seeds 2 --budget 12
    """
    from abr_tune.console import stderr_console
    from abr_tune.errors import Exit
    from abr_tune.explain import Means, explain as train_the_way
    from abr_tune.plain import visible
    from abr_tune.report.write import write_report
    from abr_tune.retraining import Interrupted
    from abr_tune.runs import RunFolder, find_run, sole_driver
    from abr_tune.stages.folder import one_search

    refuse_beside_inline(executor, None, jobs)
    folder = RunFolder(one_search(find_run(run, out)))
    console = stderr_console()
    means = Means(
        executor=executor,
        jobs=jobs,
        seeds=seeds,
        budget=budget,
        start=start,
        trust_code=trust_code,
    )
    with sole_driver(folder.path):
        try:
            found = train_the_way(folder, means, console)
        except Interrupted as stopped:
            console.print(f"interrupted; continue with: {typed_again(context)}", markup=False, soft_wrap=True)
            raise typer.Exit(Exit(128 + stopped.signal)) from None
        write_report(folder.path)
    if json:
        echo_json(found.to_json())
        return
    for line in _lines(found):
        typer.echo(visible(line))


def _lines(found: Ablation) -> Iterator[str]:
    from abr_tune.console import brief
    from abr_tune.report.wording import counted

    yield f"{found.metric}, {counted(len(found.seeds), 'seed')} each, {counted(found.trainings, 'training')}"
    yield f"{found.value:9.4f}             {found.start}"
    for step in found.steps:
        changes = ", ".join(f"{path} {brief(step.was[path])} -> {brief(step.becomes[path])}" for path in step.becomes)
        interval = (
            "" if step.interval is None else f" (95 % interval {step.interval[0]:+.4f} to {step.interval[1]:+.4f})"
        )
        yield f"{step.value:9.4f}  {step.gain:+9.4f}  {changes}: {step.told}{interval}"
    yield f"           that is     {found.end}"
    yield from found.notes
