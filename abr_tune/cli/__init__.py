"""The `abr-tune` command: one file per sub-command; here their endings are made uniform."""

from __future__ import annotations

import logging
import signal
import sys
import traceback
from contextlib import redirect_stdout
from pathlib import Path
from types import FrameType
from typing import Final, NoReturn, TextIO, cast

from abr_tune.errors import AbrTuneError, Exit, unforeseen

LOG: Final = Path("abr-tune-fault.log")
"""Where the traceback of a command lies that has no run folder."""


def _terminated(_number: int, _frame: FrameType | None) -> NoReturn:
    """End in order, so that Ray and temporary folders are put away; a search has a gentler handler of its own."""
    raise SystemExit(Exit.TERMINATED)


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line; exits with the codes of `abr_tune.errors.Exit`.

    A user's mistake is one message; a fault of ours leaves its traceback in a log.
    """
    from abr_tune.borders import Damaged
    from abr_tune.cli.app import app
    from abr_tune.plain import Shown, visible_lines
    from abr_tune.runs import write_atomically

    # A log that cannot be written, on a full disk for one, prints a traceback of its own otherwise.
    logging.raiseExceptions = False
    signal.signal(signal.SIGTERM, _terminated)
    try:
        with redirect_stdout(cast(TextIO, Shown(sys.stdout))):
            app(args=arguments, prog_name="abr-tune")
    except AbrTuneError as ending:
        if isinstance(ending, Damaged):
            write_atomically(LOG, traceback.format_exc())
        sys.stderr.write(f"{visible_lines(str(ending))}\n")
        sys.exit(ending.exit)
    except Exception as fault:  # noqa: BLE001 - the border of the program: logged with its traceback, exit 3
        told = unforeseen(fault, str(LOG))
        if told.exit is Exit.OUR_FAULT:
            write_atomically(LOG, traceback.format_exc())
        sys.stderr.write(f"{visible_lines(str(told))}\n")
        sys.exit(told.exit)
    sys.exit(Exit.DONE)
