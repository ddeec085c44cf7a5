"""The documented task of one's own: as its page says, in one process and on Ray."""

import re
from pathlib import Path

import pytest
import yaml

from core.tasks import Task
from tests.end_to_end.commands import ROOT, Answer, Made, call, start, strict

SPACE = ROOT / "docs" / "examples" / "rare_rings.yaml"
PAGE = (ROOT / "docs" / "own-task.md").read_text(encoding="utf-8")
METRIC = "val/class/f1_macro"


@pytest.fixture(scope="module")
def inline(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """The example, searched in this process."""
    out = tmp_path_factory.mktemp("results")
    return Made(SPACE, out, "rare-rings", run(out, "--executor", "inline"))


def run(out: Path, *words: object) -> Answer:
    return call("run", SPACE, "--trust-code", "--out", out, *words)


def test_it_is_valid() -> None:
    answer = call("validate", SPACE, "--trust-code")
    assert answer.code == 0
    assert answer.out.startswith(f"{SPACE}: ok, 3 searched paths, ")


@pytest.mark.parametrize("command", ["validate", "run"])
def test_without_trust_nothing_is_imported_and_the_hint_says_how(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "hostile.py").write_text("raise SystemExit('imported')\n")
    file = tmp_path / "hostile.yaml"
    file.write_text(
        "task: hostile:TASK\nsearch: {lr: {log: [1, 2]}}\nbudget: {trials: 1}\nobjective: {maximize: a/b/c}\n"
    )
    monkeypatch.chdir(tmp_path)
    answer = call(command, file)
    assert answer.code == 2
    said = answer.out + answer.err
    assert "hostile:TASK is code of your own" in said
    assert "--trust-code imports it, which runs whatever stands in it" in said
    assert not (tmp_path / "results").exists()


def test_the_search_beats_the_plain_start_and_stops_what_collapses(inline: Made) -> None:
    assert inline.answer.code == 0, inline.answer.err
    summary = inline.summary
    assert summary["best"]["confirmed"]["mean"] > summary["baselines"][METRIC] + 0.1
    assert summary["pruned_by"]["class_collapse"] >= 1
    [plain] = [trial for trial in inline.trials if trial.user_attrs.get("start_point") == "plain"]
    assert plain.user_attrs["pruned_by"] == "class_collapse"


def test_the_command_it_ends_with_trains_the_best_again(inline: Made, tmp_path: Path) -> None:
    printed = re.search(r"trains again with: (abr-tune train .*)$", inline.answer.out, re.MULTILINE)
    assert printed is not None
    # Far from the module, in a process that has not imported it yet.
    process = start(*printed[1].split()[1:], "--json", cwd=tmp_path)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    rows = strict(out)
    assert rows[0]["value"] == rows[0]["claim"] == inline.summary["best"]["value"]


def test_the_best_says_where_the_module_lies(inline: Made) -> None:
    best = yaml.safe_load((inline.folder / "best.yaml").read_text(encoding="utf-8"))
    assert (inline.folder / best["code"]).resolve() == SPACE.parent
    assert best["task"] == "rare_rings:TASK"
    text = inline.ask("export", "--trial", 0, "--trust-code").out
    assert Path(yaml.safe_load(text)["code"]).resolve() == SPACE.parent


def test_what_the_task_does_not_offer_is_refused_in_words(inline: Made) -> None:
    for command, words in (("evaluate", []), ("predict", ["recordings.npz"])):
        answer = call(command, inline.folder, *words, "--trust-code")
        assert answer.code == 2
        assert re.search("no val split|cannot predict", answer.err)


@pytest.mark.slow
@pytest.mark.ray
def test_ray_workers_find_the_module_too(inline: Made, tmp_path: Path) -> None:
    # Without ranking, which depends on who comes first, both executors must find the same.
    words = ("--set", "pruner=none", "--trials", 4, "--json")
    on_ray = run(tmp_path / "ray", "--jobs", 2, *words)
    assert on_ray.code == 0, on_ray.err
    here = run(tmp_path / "inline", "--executor", "inline", *words)
    for key in ("trials", "pruned_by", "epochs", "best", "finalists", "baselines"):
        assert on_ray.json[key] == here.json[key], key


def test_the_page_names_exactly_what_a_task_may_have() -> None:
    rows = re.findall(r"^\| (`.*?) \|", PAGE, re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`(\w+)(?:\([^`]*\))?`", row)}
    assert named == {name for name in {*vars(Task), *Task.__annotations__} if not name.startswith("_")}


def test_the_signatures_on_the_page_are_those_of_the_task() -> None:
    import inspect

    rows = re.findall(r"^\| (`.*?) \|", PAGE, re.MULTILINE)
    written = {name: given for row in rows for name, given in re.findall(r"`(\w+)\(([^`]*)\)`", row)}
    for name, given in written.items():
        parameters = list(inspect.signature(getattr(Task, name)).parameters.values())[1:]
        own = [each for each in parameters if each.kind is not inspect.Parameter.VAR_KEYWORD]
        words = [word.strip() for word in given.split(",")]
        star = words.index("*") if "*" in words else len(words)
        assert words[:star] == [each.name for each in own if each.kind is not inspect.Parameter.KEYWORD_ONLY], name
        assert words[star + 1 :] == [each.name for each in own if each.kind is inspect.Parameter.KEYWORD_ONLY], name


def test_the_commands_on_the_page_name_files_that_are_there() -> None:
    files = re.findall(r"docs/examples/[\w.]+", PAGE) + [
        f"docs/{name}" for name in re.findall(r"\]\((examples/.*?)\)", PAGE)
    ]
    assert files
    for file in files:
        assert (ROOT / file).is_file(), file
