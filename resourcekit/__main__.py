"""``python -m resourcekit``: runs the command if its script is not on the path."""

from __future__ import annotations

from resourcekit.cli import main

if __name__ == "__main__":
    main(prog_name="python -m resourcekit")
