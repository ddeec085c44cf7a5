"""`abr-tune replay`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from abr_tune.cli.arguments import Json, Overrides, TrustCode
from abr_tune.cli.document import echo_json

if TYPE_CHECKING:
    from abr_tune.replay.ground import Ground
    from abr_tune.replay.methods import MethodName


def replay(
    bank: Annotated[Path, typer.Argument(metavar="BANK", help="A folder that `abr-tune bank` wrote.")],
    methods: Annotated[
        str | None, typer.Option("--methods", metavar="A,B", help="Only these, separated by commas; default: all.")
    ] = None,
    pruner: Annotated[
        str | None, typer.Option("--pruner", help="Pruner of `ours`, as after `pruner:` in a space file.")
    ] = None,
    sampler: Annotated[
        str | None, typer.Option("--sampler", help="Sampler of `ours`, as after `sampler:` in a space file.")
    ] = None,
    overrides: Overrides = None,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Simulated searches of each method.")] = 50,
    budget: Annotated[
        str | None,
        typer.Option(
            "--budget", metavar="N|Nx", help="Epochs, or full trainings as in 40x; default: an eighth of the bank."
        ),
    ] = None,
    workers: Annotated[int, typer.Option("--workers", min=1, help="Simulated workers of one search.")] = 1,
    jobs: Annotated[
        int | None, typer.Option("--jobs", min=1, help="Searches at a time; default: what the cores allow.")
    ] = None,
    rules: Annotated[
        bool, typer.Option("--rules", help="Only measure the health rules by themselves: no search is simulated.")
    ] = False,
    one_seed: Annotated[
        bool,
        typer.Option("--one-seed", help="Judge configurations by the seed that methods see, not by fresh ones."),
    ] = False,
    to: Annotated[
        Path | None, typer.Option("--to", metavar="FOLDER", help="Also write replay.json and replay.html there.")
    ] = None,
    trust_code: TrustCode = False,
    json: Json = False,
) -> None:
    """Measure searches on recorded learning curves: seconds, not hours, since nothing is trained.

    The driver, samplers, rankings and health rules are those of `abr-tune run`; the others are Optuna's and Ray's own.

    Examples:

      abr-tune replay benchmarks/banks/phase1

      abr-tune replay benchmarks/banks/phase1 --methods ours,optuna_tpe --pruner median --seeds 10

      abr-tune replay benchmarks/banks/phase1 --rules --set health.class_collapse.patience=3
    """
    from abr_tune import environment
    from abr_tune.replay.ground import load_ground
    from abr_tune.replay.replay import compare
    from abr_tune.replay.show import as_json, as_text

    changes = [*(overrides or ()), *_changes("pruner", pruner), *_changes("sampler", sampler)]
    ground = load_ground(bank, overrides=tuple(changes), trust_code=trust_code, one_seed=one_seed)
    comparison = compare(
        ground,
        methods=() if rules else _methods(methods),
        seeds=seeds,
        budget=_budget(budget, ground),
        workers=workers,
        jobs=jobs or environment.cores(),
        progress=_progress,
    )
    content = as_json(comparison, ground, bank.name)
    if to is not None:
        from abr_tune.replay.page import write_page

        write_page(to, comparison, ground, bank.name)
    if json:
        echo_json(content)
    else:
        typer.echo(as_text(comparison, ground, bank.name), nl=False)


def _changes(key: str, written: str | None) -> list[str]:
    return [] if written is None else [f"{key}={written}"]


def _methods(written: str | None) -> tuple[MethodName, ...]:
    from abr_tune.errors import UserError
    from abr_tune.plan.explain import suggest
    from abr_tune.replay.methods import METHODS

    if written is None:
        return tuple(METHODS)
    asked = [name.strip() for name in written.split(",")]
    for name in asked:
        if name not in METHODS:
            close = suggest(name, METHODS)
            hint = f"; {close}" if close else ""
            raise UserError(f"--methods: there is no {name!r}{hint}; there are {', '.join(METHODS)}")
    return tuple(name for name in METHODS if name in asked)


def _budget(written: str | None, ground: Ground) -> int:
    """Epochs: `800`, or `40x` for as many full trainings."""
    from abr_tune.errors import UserError

    if written is None:
        return max(1, round(len(ground.runs) / 8)) * ground.length
    number, times = (written[:-1], ground.length) if written.endswith("x") else (written, 1)
    if not number.isdecimal() or int(number) == 0:
        raise UserError(f"--budget {written!r} is neither epochs, as in 800, nor full trainings, as in 40x")
    return int(number) * times


def _progress(done: int, wanted: int) -> None:
    """One line that is written over in a terminal; a pipe gets every tenth part of it."""
    tenth = max(1, wanted // 10)
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{done}/{wanted} searches" + ("\n" if done == wanted else ""))
        sys.stderr.flush()
    elif done % tenth == 0 or done == wanted:
        sys.stderr.write(f"{done}/{wanted} searches\n")
