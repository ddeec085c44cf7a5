"""`abr-tune init`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from abr_tune.errors import UserError

SCHEMA = "abr-tune.schema.json"

MORE = {
    "from": "from: results/phase1            # an earlier run: its best configuration and weights are begun from",
    "constraints": 'constraints: {val/peak/exist_auroc: "> 0.8"}    # what the best must meet beside the objective',
    "limits": "limits: {time: 5m, memory: 2GiB}                # what one trial may take",
    "stop": "stop: {no_improvement: 15}      # ended trials in a row without a better best",
    "audit": "audit: 0.05                     # share of the trials that run to their end, to measure false stops",
}
"""Top-level keys a first file can do without, as lines to uncomment."""


def init(
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="Where to write; default: the example's name.")
    ] = None,
    task: Annotated[
        str | None, typer.Option("--task", help="The problem to search; its example is copied. Default: the first.")
    ] = None,
    example: Annotated[
        str | None, typer.Option("--example", help="A shipped space to start from, such as phase1.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite FILE if it is there.")] = False,
) -> None:
    """Write a commented space file to start from, with its schema beside it for editors.

    Of a file of stages the files it names are written too.

    Examples:

      abr-tune init my.yaml

      abr-tune init --example smoke

      abr-tune init --example recovery
    """
    source = _example(example) if example is not None else _example_of(task)
    target = file or Path(source.name)
    schema = target.parent / SCHEMA
    if target.exists() and not force:
        raise UserError(f"{target} is there already; --force overwrites it")
    if not target.parent.is_dir():
        raise UserError(f"there is no folder {target.parent}")
    stages = {target.parent / shipped.name: shipped for shipped in _stages_of(source)}
    others = [path for path, shipped in stages.items() if not force and _other(path, shipped)]
    if others:
        raise UserError(f"{others[0]}, a stage of it, is there already and another; --force overwrites it")
    text = _named(source.read_text(encoding="utf-8"), source.stem, target.stem)
    target.write_text(text if example is not None else text + _more(text), encoding="utf-8")
    for path, shipped in stages.items():
        path.write_text(shipped.read_text(encoding="utf-8"), encoding="utf-8")
    if force or not schema.exists():
        schema.write_text((shipped_spaces() / SCHEMA).read_text(encoding="utf-8"), encoding="utf-8")
    wrote = ", ".join(map(str, (target, *stages)))
    typer.echo(f"wrote {wrote}; check it with: abr-tune validate {shlex.quote(str(target))}", err=True)


def shipped_spaces() -> Path:
    """The folder of the shipped space files: in an installed package inside it, in a checkout beside it."""
    package = Path(__file__).resolve().parents[1]
    installed, checkout = package / "search_spaces", package.parent / "search_spaces"
    return installed if installed.is_dir() else checkout


def _example(name: str) -> Path:
    examples = {path.stem: path for path in sorted(shipped_spaces().glob("*.yaml"))}
    if name.removesuffix(".yaml") not in examples:
        from abr_tune.plan.explain import suggest

        hint = suggest(name, examples)
        raise UserError(f"{name} is not an example; there are {', '.join(examples)}" + (f"; {hint}" if hint else ""))
    return examples[name.removesuffix(".yaml")]


def _other(path: Path, shipped: Path) -> bool:
    """Whether something else than the shipped file stands at a path."""
    return path.exists() and not (path.is_file() and path.read_bytes() == shipped.read_bytes())


def _stages_of(source: Path) -> list[Path]:
    """The files that a shipped file of stages names; none for a search."""
    from abr_tune.plan.yaml import read

    return [source.parent / name for name in read(source).data.get("stages", ())]


def _example_of(task: str | None) -> Path:
    """The largest example of a task: the one that shows most."""
    from abr_tune.plan.yaml import read
    from core.tasks import TASKS

    task = task or next(iter(TASKS))
    fitting = [path for path in shipped_spaces().glob("*.yaml") if read(path).data.get("task") == task]
    if not fitting:
        raise UserError(f"there is no example for task {task}; there are tasks {', '.join(TASKS)}")
    return max(fitting, key=lambda path: (path.stat().st_size, path.name))


def _more(text: str) -> str:
    """The keys of `MORE` that the example does not use, commented out."""
    lines = [f"# {line}\n" for key, line in MORE.items() if f"\n{key}:" not in text]
    if not lines:
        return ""
    about = (
        "\n# More keys; docs/space-file.md has them all. A searched path may say where you expect the best value:\n"
        "#   optimizer.lr: {log: [1e-5, 1e-2], guess: 1e-4, confidence: medium}\n"
    )
    return about + "".join(lines)


def _named(text: str, old: str, new: str) -> str:
    """The example under the name of the new file, if that can be one."""
    from abr_tune.plan.schema import check_name

    try:
        name = check_name(new)
    except ValueError:
        return text
    return text.replace(f"\nname: {old}\n", f"\nname: {name}\n", 1)
