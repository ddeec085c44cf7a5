"""The key `from`: an earlier run whose best configuration and weights a search begins from."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from abr_tune.borders import refuse_links
from abr_tune.errors import FileMistakes, UserError
from abr_tune.plan import device
from abr_tune.plan.begun import WEIGHTS, StartWeights, takes_weights
from abr_tune.plan.explain import suggest
from abr_tune.plan.overrides import defaults_of, faults_of, leaves, option_paths, path_of
from abr_tune.plan.source import Source, sentence
from abr_tune.plan.yaml import WRITTEN_OUT, Loc, read
from abr_tune.runs import RunFolder, runs_in
from abr_tune.stages.folder import one_search
from core.tasks.task import Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Since:
    """What a search begins from."""

    run: Path
    """Folder of the earlier run: its best configuration is tried first, its trials teach the sampler."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Option path -> value of its best configuration, where that is not the default: for what the file leaves open."""
    start: StartWeights | None = None
    """Its best weights, which every training begins from."""


def read_since(source: Source, task: Task, *, folder: Path, results: Path) -> Since | None:
    """What the file begins from; the run is looked for from `folder` (the file's), in `results`, and from here.

    None when the file names none, or one that cannot serve, which is noted.
    """
    told = _told(source)
    if told is None:
        return None
    written, switches, place = told
    found = next((path for base in (folder, results, Path()) if _is_folder(path := base / written)), None)
    if found is None:
        names = [run.name for run in runs_in(results)]
        hint = suggest(written, names) or (f"runs there: {', '.join(names[-5:])}" if names else None)
        source.add(place, f"{written} is neither a run in {results} nor the folder of one", hint)
        return None
    try:
        found = one_search(found)
    except UserError as refused:
        source.add(place, str(refused))
        return None
    if (fault := _fault_of(source, RunFolder(found), results)) is not None:
        source.add(place, *fault)
        return Since(run=found)
    try:
        return begin_with(found, task, weights=switches.get("weights"), settings=switches.get("settings", True))
    except UserError as refused:
        source.add(("from", "weights") if switches.get("weights") else place, str(refused))
        return Since(run=found)


def begin_with(run: Path, task: Task, *, weights: bool | None, settings: bool) -> Since:
    """What the best of a run gives; its weights where there are some and the task takes them, unless that is said.

    Raises:
        UserError: weights are asked for and there are none, or the task takes none; or best.yaml is damaged.
    """
    file = RunFolder(run).best / WEIGHTS
    there, taken = file.is_file(), takes_weights(task)
    if weights and not taken:
        raise UserError(f"task {task.name} cannot begin from weights: its train() takes no start")
    if weights and not there:
        raise UserError(f"{run} has no best weights to begin from; they come when a search has finished")
    return Since(
        run=run,
        settings=best_settings(run, task.options) if settings else {},
        start=StartWeights.of(file) if weights is not False and there and taken else None,
    )


def best_settings(run: Path, options: type[BaseModel]) -> dict[str, Any]:
    """Path -> value of the options that the best configuration of a run sets otherwise than by default.

    Raises:
        UserError: its best.yaml is damaged.
    """
    file = RunFolder(run).best_config
    if not file.is_file():
        return {}
    try:
        written = read(file).data
    except FileMistakes as damage:
        raise UserError(f"{file} cannot be read: {damage.problems[0].message}") from damage
    train = written.get("train") if isinstance(written, Mapping) else None
    known, defaults = option_paths(options), defaults_of(options, {})
    return {
        path: value
        for key, whole in (train.items() if isinstance(train, Mapping) else ())
        for path, value in leaves(options, str(key), whole).items()
        if path in known and value != _at(defaults, path)
    }


def take_over(
    source: Source, since: Since, options: type[BaseModel], train: Mapping[str, Any], searched: Collection[str]
) -> dict[str, Any]:
    """What the file leaves open, as the earlier run's best has it; notes where that does not go with the file.

    Where it computed is left out: that goes by the resources of each run.
    """
    taken = {
        path: value
        for path, value in since.settings.items()
        if not any(_overlap(path, named) for named in (*train, *searched, device.PATH))
    }
    own = {path_of(fault) for fault in faults_of(options, train)}
    for fault in faults_of(options, {**taken, **train}) if taken else ():
        if path_of(fault) not in own:
            text, _ = sentence(path_of(fault), fault)
            hint = "name it under train, or take nothing over with `from: {run: ..., settings: false}`"
            source.add(("from",), f"with the settings of the best of {since.run.name}: {text}", hint, at_key=True)
            return {}
    return taken


def _told(source: Source) -> tuple[str, Mapping[str, Any], Loc] | None:
    """The run as it is written, the switches beside it, and where it stands."""
    written = source.data.get("from")
    place: Loc = ("from",)
    switches: Mapping[str, Any] = {}
    if isinstance(written, dict):
        switches, written, place = written, written.get("run"), ("from", "run")
    elif written == "":
        source.add(place, "from must not be empty")
    return (written, switches, place) if isinstance(written, str) and written else None


def _overlap(path: str, other: str) -> bool:
    return path == other or path.startswith(f"{other}.") or other.startswith(f"{path}.")


def _at(tree: Any, path: str) -> Any:
    for part in path.split("."):
        tree = tree.get(part) if isinstance(tree, Mapping) else None
    return tree


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
