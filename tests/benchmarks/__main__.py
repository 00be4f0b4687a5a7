"""Runs the benchmarks as ``python -m tests.benchmarks``; see run.py."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from run import main  # the benchmarks are programs of one folder, not a package

if __name__ == "__main__":
    raise SystemExit(main())
