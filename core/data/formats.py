"""The file formats recordings can be imported from, by name; imports nothing, so that `--help` stays quick."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

Format = Literal["csv", "clinic", "ihs", "epl"]

FORMATS: Final[Mapping[Format, str]] = {
    "csv": "one row per recording with named columns",
    "clinic": "the clinic's joblib pickle (only with --trust-pickle: a pickle can run code)",
    "ihs": "human_ihs_abr.npz, three human adults with expert thresholds",
    "epl": "text files of the Eaton-Peabody Laboratories, several levels a file; several files make one table",
}
"""What each format is, in the words of the help text."""
