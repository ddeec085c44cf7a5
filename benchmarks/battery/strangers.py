"""What strangers pass on: run folders, weights, studies and files that want more than to be read."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import socket
import sqlite3
import struct
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from safetensors.torch import save

from abr_tune.plan.yaml import dump
from abr_tune.runs import RunFolder, write_json
from benchmarks.battery.hostile import METRIC, hostile_run
from benchmarks.battery.row import Row
from core.data.files import write
from core.data.scaling import Scaling, Target
from core.data.simulator import simulate_split
from core.tasks.abr_options import AbrOptions
from core.tasks.abr_weights import About, network_for
from core.training.checkpoint import ABOUT

ROOT: Final = Path(__file__).parents[2]
ENDINGS: Final = frozenset({0, 1, 2, 4, 5})
"""Exit codes that are answers; 3 is a fault of ours."""
SMALL: Final = f"""data: {{source: simulated, train: 60, val: 60, test: 60}}
train: {{epochs: 1}}
confirm: {{top: 0}}
objective: {{maximize: {METRIC}}}
"""
WEIGHT: Final = "loss.weights.class"
SECONDS: Final = 60.0
"""That one command may take here."""
TARGET: Final = Target(mean=1.0, sd=1.0, low=0.0, high=2.0)
SCALING: Final = Scaling(
    static_mean=(0.0,) * 4,
    static_sd=(1.0,) * 4,
    signal=1.0,
    clean=1.0,
    threshold=TARGET,
    latency=TARGET,
    amplitude=TARGET,
)
MODEL: Final = About(
    options=AbrOptions(),
    seed=0,
    fingerprint="made",
    class_names=("A", "B"),
    sampling_rate_hz=15_000.0,
    samples=200,
    unit="uV",
    trained=("class",),
    scalings=(SCALING,),
    intervals={},
)


class Marks:
    """Code that says so when it is run, in the languages that files are made of."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark
        self.python = f"__import__('pathlib').Path({str(mark)!r}).write_text('ran')"

    def __reduce__(self) -> tuple[Any, ...]:
        return (exec, (self.python,))

    @property
    def pickled(self) -> bytes:
        """A pickle that runs when it is opened."""
        return pickle.dumps(self)


def passed_on(folder: Path) -> Iterator[Row]:
    """Folders, weights, studies, and code that nobody said is trusted."""
    folder.mkdir(parents=True)
    yield _folders(folder / "folders")
    yield _weights(folder / "weights")
    yield _code(folder / "code")


def plain_run(path: Path, words: str = "plain") -> Path:
    """A run as it should be, with weights and configurations."""
    run = RunFolder(hostile_run(path, words))
    data = {"source": "simulated", "train": 60, "val": 60, "test": 60, "seed": 7}
    content = {"task": "abr", "data": data, "train": {"epochs": 1}, "seed": 0, "claims": {METRIC: 0.5}}
    run.best_config.write_text(dump(content | {"tolerance": {"same_seed": 0.0}}), encoding="utf-8")
    (run.trial(23) / "config.yaml").write_text(dump(content), encoding="utf-8")
    (run.best / "model.safetensors").write_bytes(weights(MODEL.to_json()))
    write_json(run.environment, {"launch": {"storage": None}, "data_fingerprint": "none", "code": None})
    summary: dict[str, Any] = json.loads(run.summary.read_text(encoding="utf-8"))
    write_json(run.summary, summary | {"task": "abr", "finalists": [], "objectives": [summary["objective"]]})
    return path


def weights(header: Any, change: Callable[[dict[str, Any]], dict[str, Any]] = lambda held: held) -> bytes:
    """A file of weights with this header."""
    state = network_for(MODEL.options, SCALING, MODEL).state_dict()
    held = change({f"fold0.{name}": part.clone() for name, part in state.items()})
    return save(held, {ABOUT: header if isinstance(header, str) else json.dumps(header)})


def watched(
    scratch: Path, outside: Path, commands: Sequence[Sequence[str]], **environment: str
) -> list[dict[str, Any]]:
    """What a process that was given these commands did; a command that never came back is missing."""
    plan = scratch / "watch.json"
    write_json(plan, {"outside": str(outside), "commands": commands})
    command = [sys.executable, "-m", "benchmarks.battery.watched", str(plan)]
    env = os.environ | {"PYTHONPATH": str(ROOT), "XDG_STATE_HOME": str(scratch / "state")} | environment
    asked = subprocess.Popen(
        command,
        cwd=scratch,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        told, _ = asked.communicate(timeout=SECONDS * 10)
    except subprocess.TimeoutExpired:
        asked.kill()
        told, _ = asked.communicate()
    return [json.loads(line) for line in told.splitlines() if line.startswith('{"words"')]


Maker = Callable[[RunFolder, Path], None]


def _link(name: str) -> Maker:
    def make(run: RunFolder, outside: Path) -> None:
        place = run.path / name
        shutil.rmtree(place) if place.is_dir() else place.unlink(missing_ok=True)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(outside / "folder" if name in {"best", "trials", "trials/0"} else outside / "file")

    return make


def _says(name: str, content: Mapping[str, Any]) -> Maker:
    def make(run: RunFolder, outside: Path) -> None:
        text = json.dumps(content).replace("OUTSIDE", str(outside))
        place = run.path / name
        before = json.loads(place.read_text(encoding="utf-8")) if name.endswith(".json") else {}
        place.write_text(json.dumps(before | json.loads(text)), encoding="utf-8")

    return make


def _pickled_study(run: RunFolder, outside: Path) -> None:
    pickled = Marks(outside / "mark").pickled.hex()
    with sqlite3.connect(run.study) as study:
        for key in ("cma:0", "cma:optimizer:0", "cma:n_restarts:0:0"):
            row = (None, 1, key, json.dumps(pickled))
            study.execute("INSERT INTO trial_system_attributes VALUES (?, ?, ?, ?)", row)
        study.execute("UPDATE trial_user_attributes SET value_json = '[[[[]]]]' WHERE trial_id = 3")


def _absurd_study(run: RunFolder, _outside: Path) -> None:
    with sqlite3.connect(run.study) as study:
        absurd = '{"name": "__import__", "attributes": {"low": 1e999, "high": "x"}}'
        study.execute("UPDATE trial_params SET distribution_json = ? WHERE trial_id = 2", (absurd,))


def _triggered_study(run: RunFolder, _outside: Path) -> None:
    with sqlite3.connect(run.study) as study:
        study.execute("DROP TABLE trial_heartbeats")
        study.execute("CREATE VIEW trial_heartbeats AS SELECT load_extension('/tmp/owned.so')")


def _pipe(run: RunFolder, _outside: Path) -> None:
    run.summary.unlink()
    os.mkfifo(run.summary)


def _tags(run: RunFolder, outside: Path) -> None:
    text = f"task: !!python/object/apply:os.system ['touch {outside / 'mark'}']\n"
    for place in (run.best_config, run.plan, run.trial(23) / "config.yaml"):
        place.write_text(text, encoding="utf-8")


def _module(run: RunFolder, outside: Path) -> None:
    for place in (run.path, outside, run.path.parent):
        (place / "hostile.py").write_text(Marks(outside / "mark").python, encoding="utf-8")
    for place in (run.best_config, run.plan, run.trial(23) / "config.yaml"):
        content = "task: hostile:task\n" + place.read_text(encoding="utf-8").replace("task: abr\n", "")
        place.write_text(f"code: {outside}\n{content}" if place != run.plan else content, encoding="utf-8")


def _recordings(run: RunFolder, outside: Path) -> None:
    objects = np.array([Marks(outside / "mark")], dtype=object)
    np.savez(run.path / "recordings.npz", signal=objects, allow_pickle=True)
    content = {"task": "abr", "data": {"source": str(run.path / "recordings.npz")}, "train": {}, "seed": 0}
    for place in (run.best_config, run.trial(23) / "config.yaml"):
        place.write_text(dump(content), encoding="utf-8")


SERVER: Final = "postgresql+psycopg://me@127.0.0.1:PORT/studies"
STRANGE: Final[Mapping[str, Maker]] = {
    **{f"link at {name}": _link(name) for name in ("summary.json", "report.html", "run.log", "study.db", ".driver")},
    **{f"link at {name}": _link(name) for name in ("best", "trials/0", "trials/0/history.jsonl", "best.yaml")},
    "fresh runs elsewhere": _says("summary.json", {"finalists": [{"runs": ["../../OUTSIDE", "OUTSIDE/folder"]}]}),
    "study elsewhere": _says("environment.json", {"launch": {"storage": "sqlite:///OUTSIDE/file"}}),
    "study on a server": _says("environment.json", {"launch": {"storage": SERVER}}),
    "code elsewhere": _says("environment.json", {"code": "OUTSIDE"}),
    "summary of another shape": _says("summary.json", {"best": 3, "trials": [], "objective": None, "state": {}}),
    "a pipe for a summary": _pipe,
    "pickles in the study": _pickled_study,
    "absurd distributions": _absurd_study,
    "a view in place of a table": _triggered_study,
    "YAML tags": _tags,
    "a task of one's own": _module,
    "a pickle for recordings": _recordings,
}


GONE_ON_FROM: Final = frozenset({"pickles in the study", "absurd distributions", "study on a server"})
"""Kinds that a search is really begun from, with CMA-ES, whose state Optuna keeps as a pickle."""


def _asked(name: str, kind: str, folder: Path, recordings: Path) -> list[list[str]]:
    out = ["--out", str(folder)]
    given = str(folder / name)
    space = folder / f"{name}.yaml"
    searched = f"search: {{optimizer.lr: {{log: [1e-5, 1e-2]}}, {WEIGHT}: {{log: [1, 30]}}}}\n"
    sampled = "sampler: {cmaes: {startup_trials: 1}}\nbudget: {trials: 2}\n"
    space.write_text(f"name: after-{name}\ntask: abr\nfrom: {name}\n{SMALL}{searched}{sampled}", encoding="utf-8")
    return [
        *([word, name, *out] for word in ("show", "trials", "report", "gate", "export", "evaluate", "stop")),
        ["compare", name, name, *out],
        ["predict", f"{given}/best", str(recordings), "--to", str(folder / "predictions.csv"), *out],
        ["explain", name, "--executor", "inline", "--seeds", "1", "--budget", "1", *out],
        ["verify", f"{given}/best.yaml", *out] if "link" not in name else ["show", given, *out],
        ["validate", str(space)],
        *([["run", str(space), "--executor", "inline", *out]] if kind in GONE_ON_FROM else []),
    ]


def _outside(folder: Path) -> Path:
    (folder / "folder").mkdir(parents=True)
    (folder / "file").write_text("mine\n", encoding="utf-8")
    (folder / "folder" / "history.jsonl").write_text("", encoding="utf-8")
    return folder


def _folders(folder: Path) -> Row:
    results, outside = folder / "results", _outside(folder / "outside")
    recordings = folder / "recordings.npz"
    write(simulate_split("val", 4, 0)[0], recordings)
    before = _state(outside)
    plain = plain_run(results / "plain")
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        commands = []
        for index, (kind, make) in enumerate(STRANGE.items()):
            run = RunFolder(results / f"given{index}")
            shutil.copytree(plain, run.path)
            make(run, outside)
            if (text := run.environment.read_text(encoding="utf-8")).count("PORT"):
                run.environment.write_text(text.replace("PORT", str(server.getsockname()[1])), encoding="utf-8")
            commands += _asked(run.name, kind, results, recordings)
        commands.append(["ls", "--out", str(results)])
        (outside / "hostile.py").unlink()
        told = watched(folder, outside, commands, PGPASSWORD="for another server")
        reached = _reached(server)
    after = _state(outside)
    fault = f"run folders of strangers, {len(STRANGE)} kinds, through every command"
    row = _judged(fault, commands, told, reached, before == after)
    begun = sum(each["words"][0] == "run" and each["code"] == 0 for each in told)
    return replace(row, happened=f"{row.happened}; {begun} gone on from", holds=row.holds and begun == 1)


def _reached(server: socket.socket) -> bool:
    try:
        server.accept()
    except TimeoutError:
        return False
    return True


def _state(outside: Path) -> dict[str, Any]:
    return {str(path): path.read_bytes() if path.is_file() else None for path in sorted(outside.rglob("*"))}


def _judged(fault: str, commands: Sequence[Any], told: Sequence[Mapping[str, Any]], reached: bool, same: bool) -> Row:
    touched = [each for each in told if each["seen"]]
    faults = [each for each in told if each["code"] not in ENDINGS or "Traceback" in each["said"]]
    slow = [each for each in told if each["seconds"] > SECONDS]
    ends = Counter(each["code"] for each in told)
    said = f"exits {', '.join(f'{code}: {count}' for code, count in sorted(ends.items()))}"
    bad = [
        f"{' '.join(each['words'][:2])}: {[*each['seen'], each['said'][-200:]][0]}" for each in (touched + faults)[:2]
    ]
    return Row(
        fault=fault,
        times=len(told),
        promised="answered or refused in a message; nothing outside read, written, run or asked",
        happened=f"{said}; {len(touched)} went outside, {len(faults)} faults, {len(slow)} slow, "
        f"{len(commands) - len(told)} never came back" + (f": {bad}" if bad else ""),
        holds=not (touched or faults or slow or reached) and same and len(told) == len(commands),
    )


def _headers() -> Iterator[Any]:
    good = MODEL.to_json()
    for key, value in (
        ("class_names", ["A", "\x1b[2J"]),
        ("class_names", ["A"] * 2),
        ("class_names", ["A", "B", "C"]),
        ("class_names", [str(index) for index in range(100_000)]),
        ("sampling_rate_hz", 1e15),
        ("sampling_rate_hz", float("nan")),
        ("samples", 10**15),
        ("unit", "parsec"),
        ("trained", ["everything"]),
        ("options", {"model": {"size": "enormous"}}),
        ("scalings", [replace(SCALING, signal=0.0).to_json()]),
        ("scalings", [None]),
    ):
        yield weights(good | {key: value})
    yield from (weights(text) for text in ("", "[]", '{"a":' * 5000))


def _files() -> Iterator[bytes]:
    yield from _headers()
    good = MODEL.to_json()
    yield weights(good, lambda held: {name: part * float("nan") for name, part in held.items()})
    yield weights(good, lambda held: {name: torch.ones(3, 3) for name in held})
    yield weights(good, lambda _held: {})
    for length, text in ((2**62, b"{}"), (90_000_000, b"{}"), (1, b"{")):
        yield struct.pack("<Q", length) + text
    huge = json.dumps({"a": {"dtype": "F32", "shape": [25 * 10**9], "data_offsets": [0, 10**11]}}).encode()
    yield struct.pack("<Q", len(huge)) + huge
    yield b""


def _weights(folder: Path) -> Row:
    outside = _outside(folder / "outside")
    recordings = folder / "recordings.npz"
    write(simulate_split("val", 4, 0)[0], recordings)
    contents = [*_files(), Marks(outside / "mark").pickled]
    commands = []
    for index, content in enumerate(contents):
        place = folder / f"given{index}"
        place.mkdir()
        (place / "config.yaml").write_text("task: abr\ntrain: {}\n", encoding="utf-8")
        (place / "model.safetensors").write_bytes(content)
        to = str(folder / f"predictions{index}.csv")
        commands.append(["predict", str(place), str(recordings), "--to", to])
    before = _state(outside)
    told = watched(folder, outside, commands)
    row = _judged(
        "weights of strangers: headers, shapes, sizes, pickles", commands, told, False, before == _state(outside)
    )
    most = max((each["mb"] for each in told), default=0)
    refused = sum(each["code"] == 2 for each in told)
    holds = row.holds and refused == len(commands) and most < 1000
    return replace(
        row, happened=f"{refused} of {len(commands)} refused, at most {most} MB; {row.happened}", holds=holds
    )


MODULES: Final = (
    "torch",
    "numpy",
    "optuna",
    "ray",
    "abr_tune",
    "core",
    "pydantic",
    "pyarrow",
    "yaml",
    "json",
    "logging",
)
MODULES_OF_PYTHON: Final = (
    "sitecustomize",
    "usercustomize",
    "conftest",
    "pandas",
    "psutil",
    "setproctitle",
    "cloudpickle",
)


def _code(folder: Path) -> Row:
    """A folder full of modules is where the command is given, and where its space file lies."""
    folder.mkdir()
    mark = folder / "mark"
    for name in (*MODULES, *MODULES_OF_PYTHON, "hostile"):
        (folder / f"{name}.py").write_text(f"{Marks(mark).python}\nraise ImportError('hostile')", encoding="utf-8")
    space = f"{SMALL}name: here\nbudget: {{trials: 1}}\nsearch: {{optimizer.lr: {{log: [1e-4, 1e-2]}}}}\n"
    (folder / "space.yaml").write_text(f"task: abr\n{space}", encoding="utf-8")
    (folder / "own.yaml").write_text(f"task: hostile:task\n{space}", encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    start = f"import sys; sys.path[0] = {str(ROOT)!r}; from abr_tune.cli import main; main()"
    asked = (["run", "space.yaml", "--jobs", "1"], ["run", "own.yaml"])
    codes = []
    for words in asked:
        command = [sys.executable, "-c", start, *words]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=False, timeout=120)
        codes.append(done.returncode)
    return Row(
        fault="a folder full of Python modules, and a task of one's own without --trust-code",
        times=(len(MODULES) + len(MODULES_OF_PYTHON) + 1) * len(asked),
        promised="none of it is imported, by Ray's workers neither",
        happened=f"exits {codes}, {'something RAN' if mark.exists() else 'nothing ran'}",
        holds=not mark.exists() and codes == [0, 2],
    )
