"""`abr-tune evaluate`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from abr_tune.cli.arguments import Json, Out, TrustCode
from abr_tune.cli.document import echo_json

if TYPE_CHECKING:
    from abr_tune.ensemble import Member
    from core.tasks.task import Scores, Together


def evaluate(
    run: Annotated[str, typer.Argument(metavar="RUN|DIR", help="A run, or a folder with model.safetensors.")],
    split: Annotated[
        Literal["val", "test"], typer.Option("--split", help="Which held-out part of the run's data.")
    ] = "val",
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="FILE", help="Recordings of your own, as `abr-tune data import` writes."),
    ] = None,
    ensemble: Annotated[
        bool, typer.Option("--ensemble", help="Let the confirmed leaders predict together, on all their seeds.")
    ] = False,
    top: Annotated[int | None, typer.Option("--top", min=1, help="Only so many leaders; means --ensemble.")] = None,
    out: Out = Path("results"),
    trust_code: TrustCode = False,
    json: Json = False,
) -> None:
    """Score the best weights of a run on a held-out part of its data, each score beside its trivial baseline.

    Scoring on `test` more than once makes it a validation set: the run itself has scored it already, see its summary.
    With --data the scores are those of a file of your own, called `test/...`; what it has no labels for is absent.

    Examples:

      abr-tune evaluate phase1

      abr-tune evaluate phase1 --data clinic.npz

      abr-tune evaluate phase1 --ensemble
    """
    from abr_tune.ensemble import members_of
    from abr_tune.plain import visible
    from abr_tune.runs import RunFolder, find_run
    from abr_tune.stages.folder import one_search
    from abr_tune.weights import find_trained, score_all

    trained = find_trained(run, out, trust_code=trust_code)
    members: list[Member] = []
    if ensemble or top is not None:
        members = members_of(RunFolder(one_search(find_run(run, out))), top)
    weights = [member.weights for member in members] or [trained.weights]
    found = score_all(weights, trained.config, split=split, file=data)
    for remark in found.remarks:
        typer.echo(visible(remark), err=True)
    if json:
        echo_json(_document(found, members))
        return
    for line in (*_table(found), *(_by_itself(found, members) if members else ())):
        typer.echo(visible(line))


def _document(found: Together, members: Sequence[Member]) -> dict[str, object]:
    scores = found.scores
    document: dict[str, object] = {
        "metrics": dict(scores.metrics),
        "baselines": dict(scores.baselines),
        "absent": dict(scores.absent),
        "remarks": list(found.remarks),
    }
    if members:
        told = zip(members, found.members, strict=True)
        document["members"] = [{**member.to_json(), "metrics": dict(each.metrics)} for member, each in told]
    return document


def _table(found: Together) -> Iterator[str]:
    """One line for each metric; of an ensemble its score first, then that of the single best."""
    scores, together = found.scores, len(found.members) > 1
    if together:
        yield f"{'':36s} {'together':>10s} {'best':>10s}   {'trivial':>10s}"
    for name, value in scores.metrics.items():
        if name.endswith(":skill"):
            continue
        best = f" {_number(found.members[0], name)}" if together else ""
        label = "" if together else "trivial "
        beside = f"   {label}{scores.baselines[name]:10.4f}" if name in scores.baselines else ""
        yield f"{name:36s} {value:10.4f}{best}{beside}"
    for name, reason in scores.absent.items():
        yield f"{name:36s}     absent   {reason}"


def _by_itself(found: Together, members: Sequence[Member]) -> Iterator[str]:
    """Each member of an ensemble by the first metric, and what all of them weigh."""
    first = next(iter(found.scores.metrics), None)
    megabytes = sum(member.size for member in members) / 1e6
    yield f"{len(members)} networks, {megabytes:.1f} MB; each by itself{f' ({first})' if first else ''}:"
    for member, scores in zip(members, found.members, strict=True):
        yield f"  trial {member.trial} seed {member.seed:<4d} {_number(scores, first)}  {member.size / 1e6:6.2f} MB"


def _number(scores: Scores, name: str | None) -> str:
    value = None if name is None else scores.metrics.get(name)
    return f"{'-' if value is None else format(value, '.4f'):>10s}"
