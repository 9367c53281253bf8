"""Run the benchmark: progress on stderr, a table on stdout, results and a chart in files."""

from __future__ import annotations

import argparse
import os
import platform
import resource
import sys
from pathlib import Path

from bench import process_stats
from bench.report.chart import chart
from bench.report.table import document, table
from bench.results import Results
from bench.scenarios import HISTORY, SECTIONS, Bench

FOLDER = Path(__file__).parent


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--fine", action="store_true", help="search for the most calls to a tenth")
    parser.add_argument(
        "--only",
        nargs="+",
        choices=SECTIONS,
        default=list(SECTIONS),
        help="run only these sections",
    )
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder of the results")
    parser.add_argument(
        "--history", type=int, default=HISTORY, help="finished calls in the section history"
    )
    parser.add_argument(
        "--postgres",
        default=os.environ.get("TEST_DATABASE_URL"),
        help="URL of a Postgres for that section (TEST_DATABASE_URL); schemas are created in it",
    )
    options = parser.parse_args()

    # A call takes one descriptor in the generator and one or two in the server.
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    cores = process_stats.cores()
    if cores is not None:
        os.sched_setaffinity(0, {cores[1]})
    results = Bench(
        cores, fine=options.fine, history=options.history, postgres=options.postgres
    ).run(_machine(cores), options.only)
    _keep(results, options.out)
    sys.stdout.write(table(results))


def _machine(cores: tuple[int, int] | None) -> str:
    where = (
        "server and load generator share one core, so these figures are not reliable"
        if cores is None
        else f"server on core {cores[0]}, load generator on core {cores[1]}"
    )
    return (
        f"{process_stats.processor()}, {os.cpu_count()} cores, "
        f"{platform.system()} {platform.release()}, Python {platform.python_version()}; {where}."
    )


def _keep(results: Results, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(document(results))
    (folder / "results.svg").write_text(chart(results.series))


if __name__ == "__main__":
    main()
