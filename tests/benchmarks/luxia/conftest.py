"""The scripts of benchmarks/luxia are imported the way they import each other."""

import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[3] / "benchmarks" / "luxia"
if str(FOLDER) not in sys.path:
    sys.path.append(str(FOLDER))
