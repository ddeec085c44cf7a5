"""The pictures of docs/report.md: a run's report and its dashboard, photographed by a headless Chromium.

    python docs/pictures.py                       # makes a small run first (two minutes on two cores)
    python docs/pictures.py results/phase1        # photographs a run that is there

Nothing is drawn for the pictures: the report is the run's own, shown section by section by hiding the others.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from abr_tune.annotate import annotate
from abr_tune.dashboard import open_server
from abr_tune.report.write import write_report

HERE = Path(__file__).parent
SPACE = HERE.parent / "search_spaces" / "phase1.yaml"
QUIET = (
    "--headless --no-sandbox --disable-gpu --disable-background-networking --disable-component-update --disable-sync "
    "--no-first-run --hide-scrollbars"
)
SECTIONS = {
    "overview": ("header", ".tiles", "#overview", "#gate"),
    "curves": ("#legend", "#curves", "#history"),
    "best": ("#confusion", "#shares", "#norms"),
    "settings": ("#ablation", "#slices"),
}
"""Picture -> what of the page is on it."""
HEIGHTS = {"overview": 1010, "curves": 1010, "best": 1180, "settings": 1300}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, nargs="?", help="a run folder; without it a small run is made")
    parser.add_argument("--to", type=Path, default=HERE / "pictures")
    parser.add_argument("--trials", type=int, default=24, help="of the run that is made")
    given = parser.parse_args()
    given.to.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.run or searched(Path(scratch) / "results", given.trials)
        photograph(folder.resolve(), given.to, Path(scratch))


def searched(out: Path, trials: int) -> Path:
    """A run of phase1 with an audit, and nothing but the health rules to stop a trial: its report shows collapses."""
    command = [
        sys.executable,
        "-c",
        "from abr_tune.cli import main; main()",
        "run",
        str(SPACE),
        "--out",
        str(out),
        "--trials",
        str(trials),
    ]
    subprocess.run(
        [*command, "--set", "audit=0.3", "--set", "pruner=none", "--set", "train.epochs=8"],
        check=True,
        stdout=sys.stderr,
    )
    return out / "phase1"


def photograph(folder: Path, to: Path, scratch: Path) -> None:
    page = write_report(folder).read_text(encoding="utf-8")
    for name, shown in SECTIONS.items():
        for theme in ("light", "dark"):
            if theme == "light" or name == "curves":
                url = only(page, shown, scratch / f"{name}.html")
                shoot(url, to / f"report-{name}{'-dark' if theme == 'dark' else ''}.png", 1280, HEIGHTS[name], theme)
    shoot(phone((scratch / "overview.html").as_uri(), scratch / "p1.html"), to / "report-phone.png", 820, 1250, "light")
    printed = page.replace("@media print {", "@media all {").replace("@page { margin: 14mm; }", "")
    shoot(only(printed, SECTIONS["curves"], scratch / "print.html"), to / "report-print.png", 690, 1010, "light")
    with serving(folder) as address:
        shoot(f"{address}/note", to / "dashboard-note.png", 1280, 860, "light")
        shoot(address, to / "dashboard-study.png", 1280, 1720, "light")


def only(page: str, shown: tuple[str, ...], path: Path) -> str:
    """A copy of the page with nothing but these parts of it; its own policy lets styles in."""
    keep = "".join(f":not({part})" for part in shown)
    hide = f"<style>main > *{keep} {{ display: none }} h2 {{ margin-top: 24px }} .legend {{ margin-bottom: 0 }}</style>"
    path.write_text(page.replace("</head>", f"{hide}</head>"), encoding="utf-8")
    return path.as_uri()


def phone(page: str, path: Path) -> str:
    """Two phones side by side, 400 pixels wide each: the top of the page, and the curves. No window is so narrow."""
    curves = page.replace("overview.html", "curves.html")
    frames = "".join(
        f'<iframe src="{source}" style="border:0;width:400px;height:1250px;margin-right:20px"></iframe>'
        for source in (page, curves)
    )
    path.write_text(f'<body style="margin:0;background:#888;white-space:nowrap">{frames}</body>', encoding="utf-8")
    return path.as_uri()


def shoot(url: str, to: Path, width: int, height: int, theme: str) -> None:
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        sys.exit("no chromium on this machine")
    scheme = 0 if theme == "dark" else 1
    with tempfile.TemporaryDirectory() as profile:
        command = [browser, *QUIET.split(), f"--user-data-dir={profile}", f"--window-size={width},{height}"]
        command += [f"--blink-settings=preferredColorScheme={scheme}", "--virtual-time-budget=20000"]
        subprocess.run([*command, f"--screenshot={to}", url], check=True, capture_output=True, timeout=300)
    print(f"{to.name}: {to.stat().st_size / 1000:.0f} kB")


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """The dashboard of the run; gives the address of its study."""
    server, address = open_server(folder, port=0)
    annotate(folder)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield address
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


if __name__ == "__main__":
    main()
