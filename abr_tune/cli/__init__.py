"""The `abr-tune` command: one file per sub-command; here their endings are made uniform."""

from __future__ import annotations

import logging
import sys
import traceback
from pathlib import Path
from typing import NoReturn

from abr_tune.errors import AbrTuneError, Exit


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line; exits with the codes of `abr_tune.errors.Exit`.

    A user's mistake is one message; a fault of ours leaves its traceback in a log.
    """
    from abr_tune.cli.app import app

    try:
        app(args=arguments, prog_name="abr-tune")
    except AbrTuneError as ending:
        sys.stderr.write(f"{ending}\n")
        sys.exit(ending.exit)
    except Exception as fault:  # noqa: BLE001 - the border of the program: logged with its traceback, exit 3
        place = _record()
        sys.stderr.write(f"abr-tune: a fault of ours: {type(fault).__name__}: {fault}\nthe traceback is in {place}\n")
        sys.exit(Exit.OUR_FAULT)
    sys.exit(Exit.DONE)


def _record() -> Path:
    """Write the traceback being handled to the log of the run under way, or to a file here; returns where it is."""
    logger = logging.getLogger("abr_tune")
    for handler in logger.handlers:
        if isinstance(handler, logging.FileHandler):
            logger.exception("the command ended")
            return Path(handler.baseFilename)
    path = Path("abr-tune-fault.log")
    path.write_text(traceback.format_exc(), encoding="utf-8")
    return path
