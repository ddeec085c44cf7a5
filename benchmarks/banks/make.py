"""Record the banks of this folder: `python benchmarks/banks/make.py [NAME...]`; all but phase1, which takes an hour.

Equal versions of the libraries give equal banks, but for the seconds an epoch took.
"""

import sys
from pathlib import Path

from abr_tune.bank.record import record
from abr_tune.plan.load import load_plan

HERE = Path(__file__).parent
TRIALS = {"sklearn_digits": 400, "torch_digits": 300, "boosting": 300}

if __name__ == "__main__":
    for name in sys.argv[1:] or TRIALS:
        plan = load_plan(HERE / f"{name}.yaml", trust_code=True)
        ended = record(plan, HERE / name, trials=TRIALS[name], executor="inline")
        if ended:
            sys.exit(ended)
