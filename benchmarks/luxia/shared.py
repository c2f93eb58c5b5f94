"""What these scripts share with those of the folder above."""

from __future__ import annotations

import sys
from pathlib import Path

# for these imports only: names of scripts there are not to stand for other modules
sys.path.append(str(Path(__file__).resolve().parents[1]))
import harness
from options import Options

sys.path.pop()

__all__ = ["Options", "harness"]
