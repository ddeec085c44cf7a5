import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
# Ray's workers import the tasks of these tests by name, from the same path as this process.
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))
