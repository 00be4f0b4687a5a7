from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_import_contracts_of_the_web_layer_hold(tmp_path):
    """Each framework is imported only in its own adapter, and the core imports none."""
    path = os.pathsep.join(map(str, (ROOT, *ROOT.glob("extensions/*/"))))
    command = [str(Path(sys.executable).parent / "lint-imports"), "--config", "extensions/web/importlinter.toml", "--no-cache"]

    done = subprocess.run(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": path}, check=False, capture_output=True, text=True)

    assert 0 == done.returncode, done.stdout + done.stderr
