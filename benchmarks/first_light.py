"""The promises of "First light", each as a check that measures it."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

from benchmarks.checks import ROOT, Check, Measured, abr_tune, plain_environment
from benchmarks.healthy_runs import stopped_among_healthy

SHARED: Final = ROOT.parent / "shared" / "data"
MINUTES: Final = 60.0


@cache
def workspace() -> Path:
    """A folder for this call's runs."""
    return Path(tempfile.mkdtemp(prefix="accept-"))


@cache
def clone() -> Path:
    """A fresh clone of the last commit; what is not committed is not in it."""
    target = workspace() / "clone"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(target)], check=True)
    return target


def commit() -> str:
    """The commit of this checkout."""
    asked = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=12"]
    return "commit " + subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()


def machine() -> str:
    """Cores and memory."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{len(os.sched_getaffinity(0))} cores, {memory:.0f} GiB"


def readme_lines() -> list[str]:
    """The two commands at the top of the README: search, then test."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return re.findall(r"```\n(python3 -m venv .+)\n```", text)[:2]


def in_clone(line: str, timeout: float) -> subprocess.CompletedProcess[str]:
    """A command line as a stranger types it in the clone."""
    return subprocess.run(
        ["bash", "-c", line],
        cwd=clone(),
        env=plain_environment(),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


@cache
def phase1() -> tuple[Path, subprocess.CompletedProcess[str]]:
    """The search of the README's first line, in the clone, with its environment made by the line itself."""
    done = in_clone(readme_lines()[0], 30 * MINUTES)
    return clone() / "results" / "phase1", done


def summary() -> Mapping[str, Any]:
    """What phase1 found."""
    found: Mapping[str, Any] = json.loads((phase1()[0] / "summary.json").read_text(encoding="utf-8"))
    return found


def readme_search() -> Measured:
    """The first line prints the best configuration, its skill, what was stopped and why, and where things are."""
    _, done = phase1()
    wanted = ("best ", "skill over it", "stopped ", "files ", "settings ")
    missing = [word for word in wanted if word not in done.stdout]
    return Measured(done.returncode == 0 and not missing, f"exit {done.returncode}, missing {missing}\n{done.stdout}")


def readme_tests() -> Measured:
    """The second line sets up and runs the tests."""
    began = time.monotonic()
    done = in_clone(readme_lines()[1], 60 * MINUTES)
    closing = (done.stdout.strip().splitlines() or ["nothing was printed"])[-1]
    took = time.monotonic() - began
    ok = done.returncode == 0 and "passed" in closing and took < 20 * MINUTES
    failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return Measured(ok, "\n".join([f"{closing}; {took / MINUTES:.1f} of 20 minutes, set-up included", *failed]))


def phase1_result() -> Measured:
    """40 trials and confirmation in 8 minutes; the gate passes; the static tree is beaten, the other's gap is said."""
    found = summary()
    trees = {reference["name"]: reference for reference in found["references"]}
    static = trees["gradient-boosted tree on the static parameters alone"]
    every = trees["gradient-boosted tree on all inputs"]
    trials = sum(found["trials"].values())
    holds = (
        trials == 40
        and found["seconds"]["total"] <= 8 * MINUTES
        and found["gate"]["verdict"] == "go"
        and static["interval"][0] > 0
    )
    return Measured(
        holds,
        f"{trials} trials in {found['seconds']['total']:.0f} s, gate {found['gate']['verdict']}, "
        f"confirmed macro-F1 {found['best']['confirmed']['mean']:.3f} (majority "
        f"{found['baselines']['val/class/f1_macro']:.3f})\n"
        f"test macro-F1 {static['ours']:.3f}; tree on static parameters {static['value']:.3f}, "
        f"difference {static['interval'][0]:+.3f} to {static['interval'][1]:+.3f}\n"
        f"tree on all inputs {every['value']:.3f}, gap {every['ours'] - every['value']:+.3f} "
        f"({every['interval'][0]:+.3f} to {every['interval'][1]:+.3f})",
    )


def in_study(folder: Path, number: int) -> Any:
    """A trial as Optuna itself reads it from the run's study."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = f"sqlite:///{folder / 'study.db'}"
    (name,) = [study.study_name for study in optuna.get_all_study_summaries(storage)]
    return optuna.load_study(study_name=name, storage=storage).trials[number]


def collapse_is_stopped() -> Measured:
    """The first start point, unranked, collapses to one class and is PRUNED by class_collapse with evidence."""
    phase1_file = str(ROOT / "search_spaces" / "phase1.yaml")
    alone = ("--trials", "1", "--set", "pruner=none", "--set", "audit=0")
    abr_tune("run", phase1_file, "--name", "collapse", *alone, cwd=workspace())
    trial = in_study(workspace() / "results" / "collapse", 0)
    said = trial.user_attrs
    holds = trial.state.name == "PRUNED" and said.get("pruned_by") == "class_collapse" and bool(said.get("evidence"))
    return Measured(
        holds,
        f"{said.get('start_point')}: {trial.state.name} by {said.get('pruned_by')} at epoch {said.get('epoch')} of 20: "
        f"{said.get('why')}\nevidence {said.get('evidence')}",
    )


def nan_is_stopped() -> Measured:
    """A learning rate of 1e4 makes real training NaN: PRUNED at that step, not an epoch more."""
    space = workspace() / "nan.yaml"
    text = (ROOT / "search_spaces" / "phase1.yaml").read_text(encoding="utf-8")
    start = "start_from:\n  - {name: diverging, optimizer.lr: 1e4, balance.scheme: none}\n\nobjective:"
    space.write_text(re.sub(r"start_from:.*?\nobjective:", start, text, flags=re.DOTALL), encoding="utf-8")
    done = abr_tune("run", str(space), "--name", "nan", "--trials", "1", cwd=workspace())
    trial = in_study(workspace() / "results" / "nan", 0)
    said = trial.user_attrs
    holds = trial.state.name == "PRUNED" and said.get("pruned_by") == "non_finite" and not trial.intermediate_values
    return Measured(
        holds and done.returncode == 1,
        f"{trial.state.name} by {said.get('pruned_by')}: {said.get('why')}\nevidence {said.get('evidence')}; "
        f"epochs finished {len(trial.intermediate_values)}; exit {done.returncode} (no trial completed)",
    )


def healthy_runs_go_on() -> Measured:
    """Of 30 distinct configurations whose full runs end with a class skill of at least 0.2, none would be stopped."""
    healthy, stopped, others, caught = stopped_among_healthy(30)
    return Measured(
        healthy == 30 and stopped == 0,
        f"{stopped} of {healthy} healthy runs stopped; of the {others} others drawn on the way {caught} were stopped",
    )


def reproduction() -> Measured:
    """best.yaml trains to the claim exactly; three other seeds lie in the 95 % prediction interval of confirmation."""
    from scipy.stats import t

    folder, _ = phase1()
    again = json.loads(abr_tune("train", str(folder / "best.yaml"), "--json", cwd=workspace()).stdout)[0]
    best = summary()["best"]
    confirmed, count = best["confirmed"], best["confirmed"]["seeds"]
    half = float(t.ppf(0.975, count - 1)) * confirmed["sd"] * (1 + 1 / count) ** 0.5
    other = abr_tune(
        "train", str(folder / "best.yaml"), "--set", "seed=1000", "--seeds", "3", "--json", cwd=workspace()
    )
    values = [row["value"] for row in json.loads(other.stdout)]
    low, high = confirmed["mean"] - half, confirmed["mean"] + half
    return Measured(
        again["value"] == best["value"] and all(low <= value <= high for value in values),
        f"claimed {best['value']!r}, trained {again['value']!r}; seeds 1000 to 1002 gave "
        f"{', '.join(f'{value:.4f}' for value in values)}, interval {low:.4f} to {high:.4f}",
    )


def first_report() -> Measured:
    """Time from the command to the first epoch report, Ray's start included."""
    seconds = summary()["seconds"]["first_report"]
    return Measured(seconds <= 15, f"{seconds:.1f} of 15 s")


def overhead() -> Measured:
    """Overhead per trial over the bare loop, Ray and inline, beside stock Ray Tune with OptunaSearch."""
    command = [sys.executable, str(ROOT / "benchmarks" / "overhead.py")]
    done = subprocess.run(command, cwd=workspace(), capture_output=True, text=True, timeout=1800, check=False)
    return Measured(done.returncode == 0, done.stdout.strip() or done.stderr.strip()[-500:])


def readable(folder: Path) -> bool:
    """Whether SQLite finds nothing wrong with the study and Optuna reads it."""
    with sqlite3.connect(folder / "study.db") as database:
        sound = database.execute("pragma integrity_check").fetchone()[0] == "ok"
    in_study(folder, 0)
    return bool(sound)


def interrupted(number: int, how: signal.Signals, after: float) -> str | None:
    """Interrupt a smoke run, look at its study, continue it; what is wrong, or None."""
    name = f"cut-{number}"
    smoke = ROOT / "search_spaces" / "smoke.yaml"
    command = [str(Path(sys.executable).parent / "abr-tune"), "run", str(smoke), "--name", name]
    folder = workspace() / "results" / name
    with subprocess.Popen(command, cwd=workspace(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not list(folder.glob("trials/*/history.jsonl")):
            time.sleep(0.05)
        time.sleep(after)
        process.send_signal(how)
        began = time.monotonic()
        code = process.wait(60)
        took = time.monotonic() - began
    if how is not signal.SIGKILL and (code != 128 + how or took > 10):
        return f"{how.name}: exit {code} after {took:.1f} s"
    if not readable(folder):
        return f"{how.name}: the study is damaged"
    done = abr_tune("run", str(smoke), "--name", name, "--json", cwd=workspace())
    counts = json.loads(done.stdout)["trials"] if done.returncode == 0 else {}
    wanted = {"complete": 6 - counts.get("pruned", 0), "failed": 0, "running": 0, "waiting": 0}
    wrong = {state: counts.get(state) for state, count in wanted.items() if counts.get(state) != count}
    return f"{how.name}: continuing gave exit {done.returncode}, {counts}" if wrong else None


def interruptions() -> Measured:
    """SIGINT, SIGTERM and kill -9 at several moments: the study stays readable and continues to its exact budget."""
    moments = [(how, after) for how in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL) for after in (0.0, 1.5)]
    found = [interrupted(number, how, after) for number, (how, after) in enumerate(moments)]
    wrong = [what for what in found if what]
    return Measured(not wrong, f"{len(moments)} interruptions, {len(wrong)} wrong\n" + "\n".join(wrong))


def wheel() -> Measured:
    """The wheel installs into a clean environment, and init writes a shipped space that validates there."""
    made, environment = workspace() / "wheel", workspace() / "clean"
    building = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(made), str(clone())]
    subprocess.run(building, check=True, capture_output=True)
    (file,) = made.glob("*.whl")
    line = (
        f"python3 -m venv {environment} && {environment}/bin/pip install -q {file} && "
        f"{environment}/bin/abr-tune init mine.yaml --example phase1 && {environment}/bin/abr-tune validate mine.yaml"
    )
    done = subprocess.run(
        ["bash", "-c", line], cwd=made, env=plain_environment(), capture_output=True, text=True, check=False
    )
    there = (made / "mine.yaml").is_file() and (made / "abr-tune.schema.json").is_file()
    return Measured(
        done.returncode == 0 and there, f"exit {done.returncode}: {done.stdout.strip()}{done.stderr[-300:]}"
    )


def quick_commands() -> Measured:
    """`--help` within 0.3 s and `validate` within 0.5 s, importing neither torch nor Ray."""
    told, holds = [], True
    phase1_file = str(ROOT / "search_spaces" / "phase1.yaml")
    for arguments, limit in ((["--help"], 0.3), (["validate", phase1_file], 0.5)):
        seconds = []
        for _ in range(7):
            began = time.monotonic()
            abr_tune(*arguments, cwd=workspace())
            seconds.append(time.monotonic() - began)
        code = (
            "import sys\nfrom abr_tune.cli import main\n"
            f"try: main({arguments!r})\nexcept SystemExit: pass\n"
            "sys.stderr.write(str(sorted({'torch', 'ray', 'optuna'} & set(sys.modules))))"
        )
        loaded = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
        ).stderr
        middle = statistics.median(seconds)
        holds = holds and middle <= limit and loaded.endswith("[]")
        told.append(f"{arguments[0]} median {middle:.2f} of {limit} s, of torch, ray, optuna loaded: {loaded[-40:]}")
    return Measured(holds, "\n".join(told))


def simulator() -> Measured:
    """With default settings the simulated statistics lie within 10 % of the clinic's; quotas hold."""
    import numpy as np

    from core.data.simulated_card import clinic_rows
    from core.data.simulator import simulate
    from core.tasks.abr_options import SimulatedData

    fold = simulate(SimulatedData()).fold
    rows = {part: clinic_rows(getattr(fold, part)) for part in ("train", "val", "test")}
    promised = [(part, row) for part, found in rows.items() for row in found if row.promised]
    worst_part, worst = max(promised, key=lambda each: abs(each[1].deviation))
    patients = {
        part: min(
            len(np.unique(recordings.patient[recordings.hearing_class == index]))
            for index in range(len(recordings.class_names))
        )
        for part, recordings in (("val", fold.val), ("test", fold.test))
        if recordings is not None
    }
    return Measured(
        abs(worst.deviation) <= 0.1 and min(patients.values()) >= 8,
        f"{len(promised)} statistics, the worst {worst.quantity} of {worst_part}: clinic {worst.clinic:.3g}, simulated "
        f"{worst.simulated:.3g} ({worst.deviation:+.1%}); fewest patients of a class {patients}",
    )


def human_recordings() -> Measured:
    """Real human recordings: one subject left out at a time, beside the level, the trivial answer and the experts."""
    source = SHARED / "ihs_human" / "human_ihs_abr.npz"
    if not source.is_file():
        return Measured(True, f"not measured: {source.name} is not on this machine")
    (workspace() / "data").mkdir(exist_ok=True)
    spaces = workspace() / "spaces"
    spaces.mkdir(exist_ok=True)
    shutil.copy(ROOT / "search_spaces" / "ihs_human.yaml", spaces)
    target = workspace() / "data" / "ihs_human.npz"
    abr_tune("data", "import", "--format", "ihs", str(source), "--to", str(target), cwd=workspace())
    done = abr_tune("run", str(spaces / "ihs_human.yaml"), "--json", cwd=workspace())
    if done.returncode != 0:
        return Measured(False, f"exit {done.returncode}: {done.stderr[-500:]}")
    found = json.loads(done.stdout)
    beside = "; ".join(
        f"{each['name']}: {each['metric']} {each['value']:.3g}, ours {each['ours']:.3g}" for each in found["references"]
    )
    confirmed = found["best"]["confirmed"]
    return Measured(
        len(found["references"]) >= 2,
        f"AUROC within held-out subjects {confirmed['mean']:.3f} ± {confirmed['sd']:.3f} on {confirmed['seeds']} fresh "
        f"seeds, trivial {found['baselines']['val/peak/exist_auroc']:.3f}, in {found['seconds']['total']:.0f} s\n"
        f"{beside}",
    )


def own_task() -> Measured:
    """The documented task of one's own runs behind --trust-code and is refused without."""
    example = str(ROOT / "docs" / "examples" / "rare_rings.yaml")
    refused = abr_tune("run", example, cwd=workspace())
    done = abr_tune("run", example, "--trust-code", "--json", cwd=workspace())
    value = json.loads(done.stdout)["best"]["value"] if done.returncode == 0 else None
    return Measured(
        refused.returncode == 2 and "--trust-code" in refused.stderr and value is not None,
        f"without: exit {refused.returncode}; with: exit {done.returncode}, best {value}",
    )


def report_and_folder() -> Measured:
    """The report loads nothing from outside; results/README.md explains every entry of the run folder."""
    folder, _ = phase1()
    page = (folder / "report.html").read_text(encoding="utf-8")
    markup = re.sub(r"(<script[^>]*>).*?</script>", r"\1", page, flags=re.DOTALL)
    outside = re.findall(r'(?:src|href)="(?:https?:)?//[^"]+"', markup)
    told = (ROOT / "results" / "README.md").read_text(encoding="utf-8")
    missing = [
        entry.name for entry in folder.iterdir() if not entry.name.startswith(".") and f"`{entry.name}" not in told
    ]
    return Measured(
        not outside and not missing and "Content-Security-Policy" in page,
        f"{len(page) / 2**20:.1f} MiB, {len(outside)} addresses outside, entries not explained: {missing}",
    )


CHECKS: Final[Mapping[str, Check]] = {
    "readme-search": readme_search,
    "readme-tests": readme_tests,
    "phase1": phase1_result,
    "collapse": collapse_is_stopped,
    "nan": nan_is_stopped,
    "healthy": healthy_runs_go_on,
    "reproduction": reproduction,
    "first-report": first_report,
    "overhead": overhead,
    "interruptions": interruptions,
    "wheel": wheel,
    "quick-commands": quick_commands,
    "simulator": simulator,
    "human-recordings": human_recordings,
    "own-task": own_task,
    "report": report_and_folder,
}
