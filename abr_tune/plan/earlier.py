"""The key `from`: an earlier run whose best configuration is tried first and whose trials teach the sampler."""

from __future__ import annotations

from pathlib import Path

from abr_tune.borders import refuse_links
from abr_tune.errors import UserError
from abr_tune.plan.explain import suggest
from abr_tune.plan.source import Source
from abr_tune.plan.yaml import WRITTEN_OUT, read
from abr_tune.runs import RunFolder, runs_in


def read_since(source: Source, *, folder: Path, results: Path) -> Path | None:
    """The folder of the earlier run, looked for from `folder` (the file's), in `results`, and from here.

    None when the file names none, or when it cannot serve, which is noted.
    """
    written = source.data.get("from")
    if not isinstance(written, str) or not written:
        return None
    found = next((place for base in (folder, results, Path()) if _is_folder(place := base / written)), None)
    if found is None:
        names = [run.name for run in runs_in(results)]
        hint = suggest(written, names) or (f"runs there: {', '.join(names[-5:])}" if names else None)
        source.add(("from",), f"{written} is neither a run in {results} nor the folder of one", hint)
    elif (fault := _fault_of(source, RunFolder(found), results)) is not None:
        source.add(("from",), *fault)
    return found


def _fault_of(source: Source, run: RunFolder, results: Path) -> tuple[str, str | None] | None:
    """Why nothing can be taken from this folder, and what to do."""
    if not any(_is_file(file) for file in (run.study, run.environment, run.best_config)):
        return f"{run.path} holds neither a study nor best.yaml", "from needs the folder of a run"
    try:  # only now: any other folder may hold half a disk
        refuse_links(run.path)
    except UserError as refused:
        return str(refused), None
    except OSError as fault:
        return f"{run.path} cannot be looked through: {fault.strerror}: {fault.filename}", None
    if run.path.resolve() == (results / str(source.data.get("name"))).resolve():
        return f"{run.path} is this run itself", "a run of the same name goes on by itself; leave from out"
    described = read(run.plan, limits=WRITTEN_OUT).data if run.plan.is_file() else None
    task = described.get("task") if isinstance(described, dict) else None
    if task is not None and task != source.data["task"]:
        return f"{run.path} is a run of task {task}, not of {source.data['task']}", None
    return None


def _is_folder(path: Path) -> bool:
    """As `is_dir`; False also where one may not look."""
    try:
        return path.is_dir()
    except OSError:
        return False


def _is_file(path: Path) -> bool:
    """As `is_file`; False also where one may not look."""
    try:
        return path.is_file()
    except OSError:
        return False
