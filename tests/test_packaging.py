"""What is built and installed: everything the program needs travels in the wheel, and nothing is imported too early."""

import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email.parser import HeaderParser
from pathlib import Path

import pytest

from abr_tune import __version__

ROOT = Path(__file__).parents[1]
COMPANIONS = {"sqlalchemy": "optuna", "markupsafe": "jinja2", "pydantic_core": "pydantic"}
"""Modules that come with a dependency and are part of how it is used."""
HEAVY = {"torch", "ray", "optuna", "pandas", "sklearn", "scipy", "plotly", "pyarrow", "optuna_dashboard"}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the source archive, built from the tree as it is, without a network."""
    target = tmp_path_factory.mktemp("dist")
    command = [
        sys.executable,
        "-m",
        "build",
        "--no-isolation",
        "--wheel",
        "--sdist",
        "--outdir",
        str(target),
        str(ROOT),
    ]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return target


@pytest.fixture(scope="module")
def wheel(built: Path) -> zipfile.ZipFile:
    [file] = built.glob("*.whl")
    assert file.name == f"abr_tune-{__version__}-py3-none-any.whl"
    return zipfile.ZipFile(file)


@pytest.fixture(scope="module")
def installed(wheel: zipfile.ZipFile, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel's content, unpacked as an installer does."""
    target = tmp_path_factory.mktemp("site")
    wheel.extractall(target)
    return target


@pytest.mark.slow
def test_the_wheel_holds_the_packages_and_what_they_read(wheel: zipfile.ZipFile) -> None:
    names = set(wheel.namelist())
    for package in ("abr_tune", "core"):
        sources = {str(path.relative_to(ROOT)) for path in (ROOT / package).rglob("*.py")}
        assert sources <= names
        assert f"{package}/py.typed" in names
    for data in ("search_spaces", "abr_tune/report/templates"):
        shipped = [path for path in (ROOT / data).iterdir() if path.is_file()]
        place = f"abr_tune/{data}" if data == "search_spaces" else data
        assert {f"{place}/{path.name}" for path in shipped} <= names
    assert "abr_tune/search_spaces/abr-tune.schema.json" in names


@pytest.mark.slow
def test_the_wheel_holds_nothing_else(wheel: zipfile.ZipFile) -> None:
    for name in wheel.namelist():
        assert name.split("/")[0] in {"abr_tune", "core", f"abr_tune-{__version__}.dist-info"}, name
        assert name.endswith((".py", ".typed", ".yaml", ".json", ".css", ".js", ".j2")) or ".dist-info/" in name, name


@pytest.mark.slow
def test_the_wheel_says_what_it_is(wheel: zipfile.ZipFile) -> None:
    folder = f"abr_tune-{__version__}.dist-info"
    about = HeaderParser().parsestr(wheel.read(f"{folder}/METADATA").decode())
    assert (about["Name"], about["Version"], about["License-Expression"]) == ("abr-tune", __version__, "Apache-2.0")
    assert about["Requires-Python"] == ">=3.11"
    assert "abr-tune = abr_tune.cli:main" in wheel.read(f"{folder}/entry_points.txt").decode()
    assert f"{folder}/licenses/LICENSE" in wheel.namelist()


@pytest.mark.slow
def test_a_user_of_the_wheel_gets_the_spaces_and_can_check_them(installed: Path, tmp_path: Path) -> None:
    def call(*words: str) -> subprocess.CompletedProcess[str]:
        code = "import sys; sys.path.insert(0, sys.argv.pop(1)); from abr_tune.cli import main; main()"
        command = [sys.executable, "-I", "-c", code, str(installed), *words]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    for path in sorted((ROOT / "search_spaces").glob("*.yaml")):
        made = call("init", "--example", path.stem)
        assert made.returncode == 0, made.stderr
        assert (tmp_path / path.name).read_bytes() == path.read_bytes()
    assert (tmp_path / "abr-tune.schema.json").is_file()
    checked = call("validate", "phase1.yaml", "smoke.yaml")
    assert checked.returncode == 0, checked.stdout
    assert call("schema").stdout == (tmp_path / "abr-tune.schema.json").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_source_archive_can_build_and_test_itself(built: Path) -> None:
    [file] = built.glob("*.tar.gz")
    with tarfile.open(file) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md", "results/README.md"} <= names
    for folder in ("abr_tune", "core", "search_spaces", "docs", "tests"):
        tracked = [path for path in (ROOT / folder).rglob("*") if path.suffix in {".py", ".yaml", ".md", ".json"}]
        assert {str(path.relative_to(ROOT)) for path in tracked} <= names
    assert not [name for name in names if name.startswith("results/") and name != "results/README.md"]


def test_every_third_party_import_is_a_declared_dependency() -> None:
    import ast
    from importlib.metadata import packages_distributions

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    # What speaks to PostgreSQL, or reads sounds and images, is imported only by whoever uses it.
    extras = project["optional-dependencies"]
    used = ("postgresql", "sounds", "images", "timm")
    wanted = [*project["dependencies"], *(one for name in used for one in extras[name])]
    declared = {requirement.split(">")[0].split("[")[0].lower() for requirement in wanted}
    homes = packages_distributions()
    for path in [*(ROOT / "abr_tune").rglob("*.py"), *(ROOT / "core").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            modules = (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else []
            )
            for top in {module.partition(".")[0] for module in modules}:
                if top in {*sys.stdlib_module_names, "abr_tune", "core", "_typeshed"}:
                    continue
                known = {name.lower().replace("_", "-") for name in homes.get(top, [])} | {COMPANIONS.get(top, top)}
                assert known & declared, f"{path.relative_to(ROOT)} imports {top}"


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["run", "--help"],
        ["validate", "{root}/search_spaces/phase1.yaml"],
        ["validate", "{root}/search_spaces/no-such.yaml"],
        ["schema"],
        ["init", "{tmp}/x.yaml"],
        ["version"],
        ["run", "{root}/search_spaces/phase1.yaml", "--dry-run"],
        ["ls", "--out", "{tmp}"],
        ["doctor", "--quick", "--out", "{tmp}"],
    ],
)
def test_what_only_reads_imports_nothing_heavy(words: list[str], tmp_path: Path) -> None:
    code = (
        "import sys\nfrom abr_tune.cli import main\n"
        "try: main(sys.argv[1:])\nfinally: print(*sys.modules, file=open('modules', 'w'))"
    )
    filled = [word.format(root=ROOT, tmp=tmp_path) for word in words]
    subprocess.run([sys.executable, "-c", code, *filled], cwd=tmp_path, capture_output=True, check=False)
    modules = (tmp_path / "modules").read_text().split()
    assert "abr_tune.cli.app" in modules
    assert not {module.partition(".")[0] for module in modules} & HEAVY
