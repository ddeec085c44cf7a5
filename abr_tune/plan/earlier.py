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
    found = next((place for base in (folder, results, Path()) if (place := base / written).is_dir()), None)
    if found is None:
        names = [run.name for run in runs_in(results)]
        hint = suggest(written, names) or (f"runs there: {', '.join(names[-5:])}" if names else None)
        source.add(("from",), f"{written} is neither a run in {results} nor the folder of one", hint)
    elif (fault := _fault_of(source, RunFolder(found), results)) is not None:
        source.add(("from",), *fault)
    return found


def _fault_of(source: Source, run: RunFolder, results: Path) -> tuple[str, str | None] | None:
    """Why nothing can be taken from this folder, and what to do."""
    try:
        refuse_links(run.path)
    except UserError as refused:
        return str(refused), None
    if not (run.study.is_file() or run.environment.is_file() or run.best_config.is_file()):
        return f"{run.path} holds neither a study nor best.yaml", "from needs the folder of a run"
    if run.path.resolve() == (results / str(source.data.get("name"))).resolve():
        return f"{run.path} is this run itself", "a run of the same name goes on by itself; leave from out"
    described = read(run.plan, limits=WRITTEN_OUT).data if run.plan.is_file() else None
    task = described.get("task") if isinstance(described, dict) else None
    if task is not None and task != source.data["task"]:
        return f"{run.path} is a run of task {task}, not of {source.data['task']}", None
    return None
