"""quantizable report: make tables, plots and one HTML page from records.

Writes README.md, plots (PNG) and one self-contained report.html beside the records in a folder, and prints the tables.
The folder holds one run, a study (a folder of runs: recipe/seed0, recipe/seed1, ...) or a benchmark.
Runs that are not finished stay in the tables, marked.
"""

from __future__ import annotations

import argparse
import json
import sys


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.epilog = "example: quantizable report results/quickstart"
    parser.add_argument("folder", metavar="RESULTS_DIR", help="folder with records.jsonl in it or below it")
    parser.add_argument("--json", action="store_true", help="print the tables and the names of the files as JSON")
    parser.add_argument(
        "--fill", metavar="PAGE.md", action="append", default=[], help="also renew the tables between <!-- table: ... --> marks of a page"
    )


def run(args: argparse.Namespace) -> int:
    """Return 0 after the files are written and the tables printed; errors are raised."""
    from quantizable.report import as_data, as_text, fill_tables, write_report  # inside: `quantizable --help` stays instant

    files = write_report(args.folder)
    n_filled = {page: fill_tables(page) for page in args.fill}
    names = [str(path) for path in (files.readme, files.page, *files.pictures)]
    if args.json:
        print(json.dumps({"tables": [as_data(table) for table in files.tables], "files": names, "filled": n_filled}, ensure_ascii=False))
    else:
        print("\n\n".join(as_text(table) for table in files.tables))
        print(f"wrote {', '.join(names)}", file=sys.stderr)
        for page, count in n_filled.items():
            print(f"filled {count} tables of {page}", file=sys.stderr)
    if files.advice:
        print(files.advice, file=sys.stderr)
    return 0
