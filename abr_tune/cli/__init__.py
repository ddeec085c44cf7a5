"""The `abr-tune` command: one file per sub-command; here their endings are made uniform."""

from __future__ import annotations

import gc
import logging
import sys
import traceback
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Final, NoReturn, TextIO, cast

from abr_tune.errors import AbrTuneError, Exit, unforeseen

LOG: Final = Path("abr-tune-fault.log")
"""Where the traceback of a command lies that has no run folder."""


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line; exits with the codes of `abr_tune.errors.Exit`.

    A user's mistake is one message; a fault of ours leaves its traceback in a log.
    """
    from abr_tune.cli.passwords import begin_again_without_passwords
    from abr_tune.search.signals import ending_on_signals
    from abr_tune.streams import open_closed

    open_closed()
    if arguments is None:
        begin_again_without_passwords()
    # Before anything else: whenever a signal comes, Ray and temporary folders are put away.
    with ending_on_signals(for_good=arguments is None):
        try:
            _lasting(arguments)
        except KeyboardInterrupt:  # one more, on the way out
            sys.exit(Exit.INTERRUPTED)
        finally:
            if arguments is None:
                # Python looks for unused objects once more when it ends: a second of the processor, with Ray loaded.
                gc.freeze()


def _lasting(arguments: list[str] | None) -> NoReturn:
    """Run the command line, whoever still reads what it says."""
    from abr_tune.plain import Shown
    from abr_tune.streams import NO_ROOM, NOBODY_READS, Lasting

    # A log that cannot be written, on a full disk for one, prints a traceback of its own otherwise.
    logging.raiseExceptions = False
    out = cast(TextIO, Lasting(sys.stdout))
    err = cast(TextIO, Lasting(sys.stderr, NOBODY_READS | NO_ROOM))
    with redirect_stderr(err), redirect_stdout(cast(TextIO, Shown(out))):
        try:
            _run(arguments)
        finally:
            # Python's own end would complain of a pipe that nobody reads.
            out.flush()


def _run(arguments: list[str] | None) -> NoReturn:
    from abr_tune.borders import Damaged
    from abr_tune.cli.app import app
    from abr_tune.plain import visible_lines

    try:
        app(args=arguments, prog_name="abr-tune")
    except AbrTuneError as ending:
        if isinstance(ending, Damaged):
            _keep_traceback()
        sys.stderr.write(f"{visible_lines(str(ending))}\n")
        sys.exit(ending.exit)
    except Exception as fault:  # noqa: BLE001 - the border of the program: logged with its traceback, exit 3
        told = unforeseen(fault, str(LOG))
        if told.exit is Exit.OUR_FAULT:
            told = unforeseen(fault, _keep_traceback())
        sys.stderr.write(f"{visible_lines(str(told))}\n")
        sys.exit(told.exit)
    sys.exit(Exit.DONE)


def _keep_traceback() -> str:
    """Keep the traceback of what is handled now in the log, or say it where that cannot be written; where it is."""
    from abr_tune.plain import visible_lines
    from abr_tune.runs import write_atomically

    told = traceback.format_exc()
    try:
        write_atomically(LOG, told)
    except OSError:
        sys.stderr.write(visible_lines(told))
        return f"the lines above, {LOG} cannot be written here"
    return str(LOG)
