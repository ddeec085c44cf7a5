"""The promises of "The search, complete", each as a check that measures it."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks.checks import ROOT, Check, Measured, abr_tune
from benchmarks.first_light import MINUTES, workspace

BANKS: Final = ROOT / "benchmarks" / "banks"
SEEDS: Final = 50
BUDGET: Final = 40
"""Full trainings: what phase1.yaml itself allows."""
OURS: Final = ("ours", "ours_without_rules")
"""Every other method of a replay is what one gets without abr-tune."""
FITTED: Final = 146
"""Trials of the phase1 bank that had been recorded when two numbers of a health rule were chosen by them."""
OTHERS: Final = ("sklearn_digits", "torch_digits", "boosting")


@cache
def replayed(bank: str, *options: str) -> Mapping[str, Any]:
    """What `abr-tune replay` says of a shipped bank, 50 seeds."""
    command = ["replay", str(BANKS / bank), "--seeds", str(SEEDS), "--budget", f"{BUDGET}x", "--json", "--trust-code"]
    done = abr_tune(*command, *options, cwd=workspace(), timeout=60 * MINUTES)
    if done.returncode != 0:
        raise RuntimeError(f"replay of {bank} ended with {done.returncode}: {done.stderr[-500:]}")
    found: Mapping[str, Any] = json.loads(done.stdout)
    return found


def half_the_epochs() -> Measured:
    """On the shipped bank: the default's mean regret at half of the budget, the best stock one's at all of it."""
    found = replayed("phase1")
    rows = {row["method"]: row for row in found["methods"]}
    half = found["shares"].index(0.5)
    best = min((name for name in rows if name not in OURS), key=lambda name: rows[name]["regret"][-1])
    ours, theirs = rows["ours"]["regret"][half], rows[best]["regret"][-1]
    return Measured(
        ours <= theirs,
        f"{found['configurations']} recorded configurations, {SEEDS} seeds: mean regret {ours:.4f} after "
        f"{found['budget'] // 2} epochs; the best stock combination, {rows[best]['label']}, {theirs:.4f} after "
        f"{found['budget']}\n" + "\n".join(_line(row) for row in found["methods"]),
    )


def _line(row: Mapping[str, Any]) -> str:
    regrets = " ".join(f"{value:6.3f}" for value in row["regret"])
    return f"{row['label']:45} regret {regrets}  within 5 %: {row['reached'][0]} ({row['reached_share'][0]:.0%})"


def kill_rules() -> Measured:
    """On the shipped bank: epochs of bad runs saved, top-10 stopped, the best unchanged."""
    from dataclasses import replace

    from abr_tune.replay.ground import load_ground
    from abr_tune.replay.rules import rules_report

    rules = replayed("phase1")["rules"]
    saved = rules["saved_of_bad"]
    ground = load_ground(BANKS / "phase1")
    fresh = rules_report(replace(ground, runs=tuple(run for run in ground.runs if run.number >= FITTED)))
    holds = saved is not None and saved >= 0.6 and rules["top_stopped"] == 0 and rules["best_unchanged"]
    return Measured(
        holds and (fresh.saved_of_bad or 0.0) >= 0.6,
        f"on the {sum(fresh.fates.values())} runs that the rules were not fitted on {fresh.saved_of_bad:.1%} of the "
        f"epochs of bad runs, {fresh.saved_of_all:.1%} of all; on the whole bank "
        f"{saved:.1%} of the epochs of runs that end collapsed, diverged or not finite, {rules['saved_of_all']:.1%} of "
        f"all; {rules['top_stopped']} of the ten best stopped, best {'un' if rules['best_unchanged'] else ''}changed\n"
        f"fates {rules['fates']}, stopped {rules['stopped']}, by rule {rules['by_rule']}",
    )


def other_banks() -> Measured:
    """On banks nobody tuned to: median regret of the default against TPE without a pruner, same budget, all shares."""
    told, holds = [], True
    for bank in OTHERS:
        found = replayed(bank, "--methods", "ours,optuna_tpe")
        middle = {
            name: [median(score["regret"][i] for score in found["seeds"][name]) for i in range(len(found["shares"]))]
            for name in ("ours", "optuna_tpe")
        }
        holds = holds and middle["ours"][-1] <= middle["optuna_tpe"][-1]
        shown = {name: " ".join(f"{value:.3f}" for value in values) for name, values in middle.items()}
        told.append(f"{bank}: ours {shown['ours']}; TPE without a pruner {shown['optuna_tpe']}")
    return Measured(holds, "median regret at 1/8, 1/4, 1/2 and all of the budget\n" + "\n".join(told))


def collapse_as_knowledge() -> Measured:
    """Fewer proposed trials collapse when the sampler hears how badly others had, than with plain PRUNED."""
    from benchmarks.collapse import BANKS as CLASSES, measure, pooled, show

    measured = [measure(bank, seeds=SEEDS) for bank in CLASSES]
    difference, interval = pooled(measured)
    low, high = interval or (float("-inf"), float("inf"))
    lines = "\n".join(line for shares in measured for line in show(shares))
    return Measured(
        high < 0,
        f"over {len(measured)} banks {difference:+.1%} of the proposals (95 % interval {low:+.1%} to {high:+.1%})\n"
        + lines,
    )


def overhead() -> Measured:
    """Whole overhead with Ray at most 0.1 s a trial over the bare loop, 100 trials, beside stock Ray Tune."""
    done = _python(str(ROOT / "benchmarks" / "overhead.py"), "--trials", "100")
    return Measured(done.returncode == 0, done.stdout.strip() or done.stderr[-500:])


def selection() -> Measured:
    """Regret after confirmation against the single-seed winner's, on recorded results of several seeds."""
    from benchmarks.selection import measure

    found = measure()
    told, holds = [], True
    for name in sorted({row.benchmark for row in found}):
        single, confirmed = (row for row in found if row.benchmark == name)
        holds = holds and confirmed.regret <= single.regret / 3
        told.append(
            f"{name}: one seed {single.regret:.4f} (optimism {single.optimism:+.4f}), top {confirmed.top} on "
            f"{confirmed.seeds} fresh seeds {confirmed.regret:.4f} ({confirmed.optimism:+.4f}), "
            f"{confirmed.searches} searches"
        )
    return Measured(holds, "\n".join(told))


def changed_bound() -> Measured:
    """A changed bound keeps the trials that still fit, and the command says how many."""
    smoke = str(ROOT / "search_spaces" / "smoke.yaml")
    first = abr_tune("run", smoke, "--name", "bounds", "--executor", "inline", cwd=workspace())
    again = abr_tune(
        *("run", smoke, "--name", "bounds", "--executor", "inline", "--trials", "8"),
        *("--set", "search.optimizer.lr={log: [1e-3, 5e-3]}"),
        cwd=workspace(),
    )
    said = [line for line in again.stderr.splitlines() if "continuing" in line or "changed" in line]
    holds = first.returncode == again.returncode == 0 and len(said) >= 2
    return Measured(holds, "\n".join(said) or again.stderr[-500:])


def comparison() -> Measured:
    """`compare --json`: per metric both values, delta, relative change in percent; both confusion matrices."""
    spaces = ROOT / "search_spaces" / "smoke.yaml"
    for name, seed in (("first", "0"), ("second", "1")):
        done = abr_tune("run", str(spaces), "--name", name, "--seed", seed, "--executor", "inline", cwd=workspace())
        if done.returncode != 0:
            return Measured(False, done.stderr[-500:])
    found = json.loads(abr_tune("compare", "first", "second", "--json", cwd=workspace()).stdout)
    return Measured(*_comparison(found))


def _comparison(found: Mapping[str, Any]) -> tuple[bool, str]:
    """Whether every metric both runs have carries what was promised, and both matrices are there."""
    both = [row for row in found["metrics"] if row["a"] is not None and row["b"] is not None]
    right = [
        row
        for row in both
        if abs(row["b"] - row["a"] - row["delta"]) < 1e-9
        and (row["a"] == 0 or abs(row["relative_percent"] - 100 * row["delta"] / abs(row["a"])) < 1e-6)
    ]
    matrices = [split for split, sides in found["confusion"].items() if sides["a"] and sides["b"]]
    return (
        bool(both) and right == both and bool(matrices),
        f"{len(right)} of {len(both)} shared metrics with value, delta and percent; both matrices on {matrices}",
    )


def verified() -> Measured:
    """`abr-tune verify` trains the best configuration again and finds the claim within the stated tolerance."""
    comparison()
    done = abr_tune("verify", "results/first/best.yaml", cwd=workspace())
    return Measured(done.returncode == 0, done.stdout.strip() or done.stderr[-500:])


def bookkeeping() -> Measured:
    """Everything but the training of a trial of 50 reports on SQLite: searched inline, less the bare loop."""
    from dataclasses import replace

    from abr_tune.search.search import search
    from benchmarks.overhead import Toy, ToyOptions, plan_of

    trials, plan = 100, replace(plan_of(100), train={"epochs": 50})
    began = time.monotonic()
    for _ in range(trials):
        for _report in Toy().train(ToyOptions(epochs=50), seed=0, checkpoint=workspace()):
            pass
    bare = time.monotonic() - began
    began = time.monotonic()
    with tempfile.TemporaryDirectory(dir=workspace()) as folder:
        search(plan, folder=Path(folder), dataset=None, baselines={}, executor="inline", jobs=1)
    each = (time.monotonic() - began - bare) / trials
    return Measured(
        each <= 0.05, f"{each * 1000:.1f} of 50 ms a trial: study, sampler, history, checks; {trials} trials"
    )


def killed() -> Measured:
    """A driver killed 20 times at random moments and gone on with: nothing acknowledged is lost, nothing is twice."""
    done = _python(str(ROOT / "benchmarks" / "scale.py"), "--kill", "20")
    return Measured(done.returncode == 0, done.stdout.strip() or done.stderr[-500:])


def ten_thousand() -> Measured:
    """Growth to 10,000 trials: the processor time of a trial at the end is at most twice that at 1,000."""
    done = _python(str(ROOT / "benchmarks" / "scale.py"), "--json")
    if done.returncode != 0:
        return Measured(False, done.stderr[-500:])
    rows = json.loads(done.stdout)
    told = [
        f"{row['size']} trials: {row['trial'] * 1000:.1f} ms each, {row['cpu'] * 1000:.1f} of the processor (ask "
        f"{row['ask'] * 1000:.1f}, tell {row['tell'] * 1000:.1f}), tpe {row['tpe'] * 1000:.1f} ms; continue "
        f"{row['continue']:.2f} s, show {row['show']:.2f}, trials {row['trials']:.2f}, report {row['report']:.2f} s; "
        f"{row['memory']:.0f} MiB"
        for row in rows
    ]
    return Measured(rows[-1]["cpu"] <= 2 * rows[0]["cpu"], "\n".join(told))


def several_drivers_and_nodes() -> Measured:
    """Several drivers on one PostgreSQL study, kills included; a Ray cluster whose worker cannot see the folder."""
    tests = [f"tests/end_to_end/test_{name}.py" for name in ("join", "killed", "cluster")]
    done = _python("-m", "pytest", "-q", "-p", "no:cacheprovider", *tests)
    closing = (done.stdout.strip().splitlines() or ["nothing was printed"])[-1]
    return Measured(done.returncode == 0 and "skipped" not in closing, closing)


def pictures() -> Measured:
    """The pictures of report and dashboard that the docs describe are there, and all of them are described."""
    told = (ROOT / "docs" / "report.md").read_text(encoding="utf-8")
    there = sorted((ROOT / "docs" / "pictures").glob("*.png"))
    missing = [file.name for file in there if f"pictures/{file.name}" not in told]
    return Measured(len(there) >= 5 and not missing, f"{len(there)} pictures, not described: {missing}")


def _python(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60 * MINUTES, check=False)


CHECKS: Final[Mapping[str, Check]] = {
    "half-the-epochs": half_the_epochs,
    "kill-rules": kill_rules,
    "other-banks": other_banks,
    "collapse-as-knowledge": collapse_as_knowledge,
    "overhead": overhead,
    "bookkeeping": bookkeeping,
    "killed": killed,
    "selection": selection,
    "changed-bound": changed_bound,
    "compare": comparison,
    "verify": verified,
    "drivers-and-nodes": several_drivers_and_nodes,
    "pictures": pictures,
    "ten-thousand": ten_thousand,
}
