"""The README says what the program does: its commands parse, its space is valid, its numbers of files agree."""

import re
import shlex
from pathlib import Path

import pytest
import typer

from abr_tune.cli.app import app
from abr_tune.plan.load import load_plan
from core.health import HealthOptions

ROOT = Path(__file__).parents[1]
TEXT = {
    name: (ROOT / name).read_text(encoding="utf-8")
    for name in ("README.md", "CONTRIBUTING.md", "results/README.md", "docs/own-task.md", "docs/why.md")
}
README = TEXT["README.md"]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"(?:\S*/)?abr-tune ([a-z].*)")


def commands(text: str) -> list[str]:
    """Everything written as code that begins with abr-tune, comments and shell around it taken off."""
    blocks = [line for kind, block in BLOCK.findall(text) if not kind for line in block.splitlines()]
    inline = re.findall(r"`([^`\n]+)`", BLOCK.sub("", text))
    pieces = [piece for code in (*blocks, *inline) for piece in re.split(r" && | # | {2,}#", code)]
    return [match[1].strip() for piece in pieces if (match := COMMAND.fullmatch(piece.strip()))]


ALL = [(name, command) for name, text in TEXT.items() for command in commands(text)]


def test_the_pages_have_commands_to_check() -> None:
    assert len(commands(README)) >= 9
    assert all(commands(text) for text in TEXT.values())


@pytest.mark.parametrize(("page", "command"), ALL)
def test_every_command_parses(page: str, command: str) -> None:
    words = shlex.split(command)
    group = typer.main.get_command(app)
    context = group.make_context("abr-tune", list(words), resilient_parsing=True)
    found = group
    while hasattr(found, "get_command"):
        name = words.pop(0)
        found = found.get_command(context, name)
        assert found is not None, f"{page}: there is no command {name}"
    if not all(word.startswith("--") for word in words):
        # Raises what the person at the keyboard would be told.
        found.make_context(command, words)
    else:
        # Named in a sentence, without what it is about: its options are checked, nothing else.
        assert set(words) <= {option for parameter in found.params for option in parameter.opts}


def test_the_space_in_the_readme_is_valid(tmp_path: Path) -> None:
    [space] = [block for kind, block in BLOCK.findall(README) if kind == "yaml"]
    file = tmp_path / "phase1.yaml"
    file.write_text(space, encoding="utf-8")
    plan = load_plan(file)
    shipped = load_plan(ROOT / "search_spaces" / "phase1.yaml")
    assert (plan.name, plan.task_name, plan.objective) == (shipped.name, shipped.task_name, shipped.objective)


def test_the_project_checks_itself_with_the_readmes_own_command() -> None:
    search, test = [block.strip() for kind, block in BLOCK.findall(README) if "python3 -m venv" in block]
    lines = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert test in lines
    assert test in TEXT["CONTRIBUTING.md"].splitlines()
    for line in (search, test):
        assert "\n" not in line
        # The line itself makes the environment, and everything after stands on it.
        assert line.startswith("python3 -m venv .venv && .venv/bin/pip install ")


def test_every_health_rule_is_explained() -> None:
    explained = set(re.findall(r"^\| `(\w+)` \|", README, re.MULTILINE))
    rules = set(HealthOptions.model_fields)
    assert explained == {rule for rule in rules if not rule.startswith("literal_")}
    assert "the documents' literal rules" in README


def test_what_the_readme_says_of_literal_rules_holds() -> None:
    assert {rule for rule, setting in HealthOptions() if setting is None} == {
        rule for rule in HealthOptions.model_fields if rule.startswith("literal_")
    }


@pytest.mark.parametrize("page", TEXT)
def test_links_lead_somewhere(page: str) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", TEXT[page]):
        assert ((ROOT / page).parent / target).exists(), target


@pytest.mark.parametrize("page", TEXT)
def test_files_that_are_named_exist(page: str) -> None:
    for place in re.findall(r"`((?:search_spaces|docs|core|abr_tune|benchmarks|tests|\.ci)/[\w./-]*)`", TEXT[page]):
        assert (ROOT / place).exists(), place


def test_nothing_is_left_to_be_filled_in() -> None:
    for page, text in TEXT.items():
        assert not re.search(r"[A-Z]{2,}_PLACEHOLDER|TODO|FIXME|TBD", text), page


def test_the_table_of_faults_is_the_batterys_last() -> None:
    section = README.partition("## Reliability")[2].partition("\n## ")[0]
    told = re.findall(r"^\| (.+?) \| (\d+) \| .+ \|$", section, re.MULTILINE)
    printed = (ROOT / "benchmarks/results/faults.txt").read_text(encoding="utf-8").splitlines()
    kept = [line.split(None, 1)[1] for line in printed if line.startswith("ok ")]
    assert not any(line.startswith("FAIL ") for line in printed)
    assert len(told) == len(kept) > 0
    for (fault, times), line in zip(told, kept, strict=True):
        assert re.match(rf"{re.escape(fault)} +{times} ", line), line


def test_the_table_of_targets_is_the_one_that_was_measured() -> None:
    """Every cell of a row of the README stands, in its order, in a row of the kept output; none is left out."""
    section = README.partition("## Recovery in three stages")[2].partition("\n## ")[0]
    told = [
        [cell.strip("` ") for cell in line.strip("| ").split("|")]
        for line in section.splitlines()
        if re.match(r"\| 4[34]", line)
    ]
    printed = (ROOT / "benchmarks/results/model.txt").read_text(encoding="utf-8").splitlines()
    measured = [re.split(r"\s{2,}", line.strip()) for line in printed if re.match(r"\s*4[34],? ", line)]
    assert len(told) == len(measured) > 10
    for cells, row in zip(told, measured, strict=True):
        # The row of the output has one column more: the leaders together.
        assert cells == [*row[:4], *row[5:]]
