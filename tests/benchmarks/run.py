"""Runs the benchmarks: ``python tests/benchmarks/run.py [NAMES]``. The last lines that it prints are the figures.

The peers (Django, Flask, asyncpg, peewee, SQLModel, Piccolo, Tortoise) need the extra: ``pip install -e '.[benchmarks]'``. Without it the rest runs. Servers
are found as the tests find them (``tests/support``).
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import measured_checks
import measured_partitions
import measured_peers
import measured_relations
import measured_resources
import measured_servers
import measured_starting
import measured_sweep
import measured_tokens
import measured_web
import measured_writes
import peers
from plan import FULL, TINY, Benchmark, Run
from report import Line, printed

BENCHMARKS: dict[str, Benchmark] = {
    "check": measured_checks.check,
    "memory": measured_checks.memory,
    "token": measured_checks.token,
    "revoke": measured_writes.revoke,
    "claims": measured_tokens.claims,
    "verify": measured_tokens.verify,
    "issue": measured_tokens.issue,
    "rotate": measured_tokens.rotate,
    "import": measured_starting.imports,
    "declare": measured_starting.declare,
    "resources": measured_resources.resources,
    "orms": measured_peers.orms,
    "async": measured_peers.asynchronous,
    "relations": measured_relations.relations,
    "postgresql": measured_servers.postgresql,
    "together": measured_servers.together,
    "web": measured_web.web,
    "redis": measured_servers.redis,
    "sweep": measured_sweep.sweep,
    "partitions": measured_partitions.partitions,
}


def main() -> int:
    """Run what was asked for; return 1 where a budget was not kept."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(BENCHMARKS)}; all unless given")
    parser.add_argument("--tiny", action="store_true", help="show that all run, with figures that mean nothing")
    parser.add_argument("--folder", type=Path, help="keep the databases here, and take those that are there")
    asked = parser.parse_args()
    if unknown := sorted(set(asked.names) - BENCHMARKS.keys()):
        parser.error(f"no benchmark is called {unknown[0]}; there are {', '.join(BENCHMARKS)}")
    sizes = TINY if asked.tiny else FULL
    lines: list[Line] = []
    with tempfile.TemporaryDirectory() as scratch:
        run = Run(sizes, asked.folder or Path(scratch))
        run.folder.mkdir(parents=True, exist_ok=True)
        for name in asked.names or BENCHMARKS:
            began = time.perf_counter()
            lines += [Line(**{**vars(line), "what": f"{name}: {line.what}"}) for line in BENCHMARKS[name](run)]
            print(f"{name} took {time.perf_counter() - began:.0f} s", flush=True)
    print(f"\n{peers.versions()}\n\n{printed(lines)}")
    return int(not asked.tiny and any(line.word == "fail" for line in lines))


if __name__ == "__main__":
    raise SystemExit(main())
