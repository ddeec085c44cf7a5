"""Run as a program: opens the clinic's joblib pickle and writes what it holds as plain arrays.

`python clinic_child.py recordings.pkl plain.npz`. It stands alone (no import of this project), because opening a pickle
runs whatever code the file brings: this process is thrown away afterwards, and a crash stays in it. Exit code 3 and
lines on stderr say what is not laid out as expected; any other fault ends in a traceback.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final, NoReturn

LAYOUT: Final = 3
"""Exit code when the content is not what the clinic's files hold."""
SIZES: Final = {"static_params": 4, "v_peak": 2, "v_peak_mask": 2}
REQUIRED: Final = ("patient_id", "signal", "target", *SIZES)


def main(pickle: Path, plain: Path) -> None:
    """Opens `pickle`, writes `plain`."""
    import joblib
    import numpy as np

    content: Any = joblib.load(pickle)
    if not isinstance(content, dict) or not isinstance(content.get("data"), list) or not content["data"]:
        give_up([f"expected a dictionary with a list of samples under 'data', found {type(content).__name__}"])
    samples: list[Any] = content["data"]
    if problems := layout_problems(samples):
        give_up(problems)
    scaler, encoder = content.get("scaler"), content.get("label_encoder")
    header = {
        "classes": [str(name) for name in getattr(encoder, "classes_", ())],
        "mean": [float(value) for value in getattr(scaler, "mean_", ())],
        "scale": [float(value) for value in getattr(scaler, "scale_", ())],
    }
    thresholds = [sample.get("clinical_threshold") for sample in samples]
    with plain.open("wb") as file:
        np.savez(
            file,
            allow_pickle=False,
            header=np.array(json.dumps(header)),
            patient=np.array([str(sample["patient_id"]) for sample in samples]),
            target=np.array([int(sample["target"]) for sample in samples]),
            threshold=np.array([np.nan if value is None else float(value) for value in thresholds]),
            **{name: np.array([np.ravel(sample[name]) for sample in samples], float) for name in ("signal", *SIZES)},
        )


def layout_problems(samples: list[Any]) -> list[str]:
    """What the first samples that differ from the documented layout lack, and how many more there are."""
    import numpy as np

    problems = []
    length = np.size(samples[0].get("signal", ())) if isinstance(samples[0], dict) else 0
    for number, sample in enumerate(samples):
        if not isinstance(sample, dict):
            problems.append(f"sample {number} is no dictionary")
        elif absent := [name for name in REQUIRED if name not in sample]:
            problems.append(f"sample {number} lacks {', '.join(absent)}")
        else:
            sizes = {**SIZES, "signal": length}
            wrong = [
                f"{name} has {np.size(sample[name])} values, not {size}"
                for name, size in sizes.items()
                if np.size(sample[name]) != size
            ]
            problems += [f"sample {number}: {', '.join(wrong)}"] if wrong else []
    rest = [f"{len(problems) - 5} more samples like these"] if len(problems) > 5 else []
    return problems[:5] + rest


def give_up(problems: list[str]) -> NoReturn:
    """Ends the process with the problems, one a line."""
    sys.stderr.write("\n".join(problems) + "\n")
    sys.exit(LAYOUT)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
