"""How a command's process ends."""

import gc
import subprocess
import sys

import pytest

from abr_tune.cli import main

SAYING = """
import atexit, gc, sys
atexit.register(lambda: print(gc.get_freeze_count() > 1000))
from abr_tune.cli import main
sys.argv = ["abr-tune", "version"]
main()
"""


def test_the_end_is_not_spent_on_a_search_for_unused_objects() -> None:
    """With Ray loaded that takes a second of the processor, which a Ctrl-C would have to wait for."""
    done = subprocess.run([sys.executable, "-c", SAYING], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "True"


def test_a_command_called_from_python_leaves_that_alone() -> None:
    before = gc.get_freeze_count()
    with pytest.raises(SystemExit):
        main(["version"])
    assert gc.get_freeze_count() == before
