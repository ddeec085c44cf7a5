"""A headless Chromium that says what it drew and whom it asked, and a site of a stranger's for it to visit.

Every name resolves to this machine, so nothing leaves it, and what the browser would have asked of the world is seen
in its own log of the network.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from html.parser import HTMLParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

CHROMIUM: Final = shutil.which("chromium") or shutil.which("google-chrome")
QUIET: Final = (
    "--headless --no-sandbox --disable-gpu --disable-background-networking --disable-component-update --disable-sync "
    "--disable-features=AutofillServerCommunication,NetworkTimeServiceQuerying --disable-extensions --no-first-run "
    "--no-pings --disable-popup-blocking"
)
REQUESTED: Final = "URL_REQUEST_START_JOB"
NOBODY: Final = "not an origin"


class Elements(HTMLParser):
    """Every element of a page with its attributes, and the title."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.title = ""
        self._open = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the element."""
        self.found.append((tag, dict(attrs)))
        self._open = tag

    def handle_data(self, data: str) -> None:
        """The first title is the page's; drawings have titles of their own."""
        if self._open == "title" and not self.title:
            self.title = data


@dataclass(frozen=True, slots=True)
class Visit:
    """What came of opening a page."""

    dom: str
    """The page after its scripts have run."""
    asked: tuple[str, ...]
    """Addresses that the page, or what it opened, asked for."""

    def elsewhere(self, *own: str) -> list[str]:
        """What was asked of others than the servers `own`, given as `host:port`."""
        return [url for url in self.asked if urlsplit(url).scheme not in INNER and urlsplit(url).netloc not in own]


INNER: Final = frozenset({"file", "data", "blob", "about", "chrome", "devtools"})


def visit(url: str, *, seconds: float = 8) -> Visit:
    """Open a page, let it work for so long of its own time, and say what it is then."""
    with tempfile.TemporaryDirectory(prefix="browser-", ignore_cleanup_errors=True) as scratch:
        log = Path(scratch) / "net.json"
        command = [str(CHROMIUM), *QUIET.split(), f"--user-data-dir={scratch}/profile", f"--log-net-log={log}"]
        command += ["--host-resolver-rules=MAP * 127.0.0.1", f"--virtual-time-budget={seconds * 1000:.0f}"]
        done = subprocess.run([*command, "--dump-dom", url], capture_output=True, text=True, timeout=120, check=True)
        text = log.read_text(encoding="utf-8").rstrip().rstrip(",")
        known = json.loads(text if text.endswith("}") else f"{text}]}}")
    kind = known["constants"]["logEventTypes"][REQUESTED]
    events = (_said(event) for event in known["events"] if event["type"] == kind)
    # What the browser asks for by itself, models and updates, has no page behind it.
    return Visit(
        done.stdout, tuple(dict.fromkeys(e["url"] for e in events if e.get("initiator") not in {None, NOBODY}))
    )


def _said(event: dict[str, Any]) -> dict[str, Any]:
    said: dict[str, Any] = event.get("params", {})
    return said


@dataclass
class Stranger:
    """A site of somebody else's, under whatever name it is asked for."""

    port: int
    pages: dict[str, str] = field(default_factory=dict)
    """Path -> HTML."""
    heard: list[str] = field(default_factory=list)
    """Paths that were asked for and are none of its pages: what somebody told it."""


@contextmanager
def stranger() -> Iterator[Stranger]:
    """The site, for as long as this is entered."""
    site = Stranger(0)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path not in site.pages:
                site.heard.append(self.path)
            self.send_response(200 if path in site.pages else 404)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Access-Control-Allow-Origin", "*")
            self.end_headers()
            self.wfile.write(site.pages.get(path, "").encode())

        do_POST = do_GET

        def log_message(self, *_said: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    site.port = server.server_port
    with server, running(server.serve_forever, server.shutdown):
        yield site


@contextmanager
def running(serve: Callable[[], object], end: Callable[[], object]) -> Iterator[None]:
    """`serve` in a thread of its own until this is left."""
    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield
    finally:
        end()
        thread.join()
