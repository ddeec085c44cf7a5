"""The promises of "The search, complete", each as a check that measures it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
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
OTHERS: Final = ("sklearn_digits", "torch_digits", "boosting")


@cache
def replayed(bank: str) -> Mapping[str, Any]:
    """What `abr-tune replay` says of a shipped bank, every method, 50 seeds."""
    command = ["replay", str(BANKS / bank), "--seeds", str(SEEDS), "--budget", f"{BUDGET}x", "--json", "--trust-code"]
    done = abr_tune(*command, cwd=workspace(), timeout=60 * MINUTES)
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
    rules = replayed("phase1")["rules"]
    saved = rules["saved_of_bad"]
    return Measured(
        saved is not None and saved >= 0.6 and rules["top_stopped"] == 0 and rules["best_unchanged"],
        f"{saved:.1%} of the epochs of runs that end collapsed, diverged or not finite, {rules['saved_of_all']:.1%} of "
        f"all; {rules['top_stopped']} of the ten best stopped, best {'un' if rules['best_unchanged'] else ''}changed\n"
        f"fates {rules['fates']}, stopped {rules['stopped']}, by rule {rules['by_rule']}",
    )


def other_banks() -> Measured:
    """On banks nobody tuned to: median regret of the default against TPE without a pruner, same budget, all shares."""
    told, holds = [], True
    for bank in OTHERS:
        found = replayed(bank)
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
    done = _python("-m", "benchmarks.collapse")
    return Measured(done.returncode == 0, done.stdout.strip() or done.stderr[-500:])


def overhead() -> Measured:
    """Whole overhead with Ray at most 0.1 s a trial over the bare loop, 100 trials."""
    done = _python(str(ROOT / "benchmarks" / "overhead.py"), "--trials", "100", "--json")
    if done.returncode not in {0, 1}:
        return Measured(False, done.stderr[-500:])
    found = json.loads(done.stdout)
    return Measured(found["ray"]["per_trial"] <= 0.1, done.stdout.strip())


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


def _python(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60 * MINUTES, check=False)


CHECKS: Final[Mapping[str, Check]] = {
    "half-the-epochs": half_the_epochs,
    "kill-rules": kill_rules,
    "other-banks": other_banks,
    "collapse-as-knowledge": collapse_as_knowledge,
    "overhead": overhead,
    "selection": selection,
    "changed-bound": changed_bound,
    "compare": comparison,
    "verify": verified,
}
