"""What `import quantizable` and `quantizable --help` cost over bare Python, in ms: both stay below 60.

    python benchmarks/import_time.py --repeat 30

Each time is that of a whole fresh process; the variants alternate, so that a busy moment of the machine meets all of them.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

from quantizable.records import append_record, provenance

TARGET_MS = 60.0
BARE = "bare Python"
VARIANTS = {
    BARE: ["-c", "pass"],
    "import quantizable": ["-c", "import quantizable"],
    "quantizable --help": ["-m", "quantizable", "--help"],
}
WARM_UP = 3  # processes of each variant that are not counted: files come into the cache, bytecode is written


def main() -> int:
    """Measure, append the rows, print the claim; return 0 where the target is met, else 1."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--repeat", type=int, default=30, help="processes of each variant (30)")
    parser.add_argument("--out", type=Path, default=Path("results/import_time"), help="folder of the records (results/import_time)")
    args = parser.parse_args()
    if args.repeat < 1:
        parser.error(f"--repeat: at least 1 is needed, found {args.repeat}; leave it out for 30")

    rows = measure(args.repeat)
    cost = cost_over_bare(rows)
    claim = "; ".join(f"`{variant}` costs {ms:.1f} ms over bare Python" for variant, ms in cost.items())
    append_record(args.out, {"kind": "benchmark", **provenance(), "target_ms": TARGET_MS})
    for row in rows:
        append_record(args.out, row)
    compared = f"Whole processes, alternating, medians of {args.repeat} after {WARM_UP} to warm up; the target is {TARGET_MS:.0f} ms."
    append_record(args.out, {"kind": "claim", "title": "Start-up time", "claim": claim + ".", "compared": compared})
    print(claim)
    return 0 if max(cost.values()) < TARGET_MS else 1


def measure(repeat: int) -> list[dict[str, object]]:
    """Return a row for each timed process, in the order in which they ran."""
    rows: list[dict[str, object]] = []
    for repetition in range(-WARM_UP, repeat):
        for variant, arguments in VARIANTS.items():
            start = time.perf_counter()
            done = subprocess.run([sys.executable, *arguments], capture_output=True, check=True)
            ms = 1000 * (time.perf_counter() - start)
            if repetition >= 0:
                checksum = hashlib.sha256(done.stdout).hexdigest()
                rows.append({"kind": "time", "variant": variant, "repetition": repetition, "ms": round(ms, 3), "checksum": checksum})
    return rows


def cost_over_bare(rows: list[dict[str, object]]) -> dict[str, float]:
    """Return variant to median ms above the median of bare Python."""
    medians = {variant: median(float(str(row["ms"])) for row in rows if row["variant"] == variant) for variant in VARIANTS}
    return {variant: ms - medians[BARE] for variant, ms in medians.items() if variant != BARE}


if __name__ == "__main__":
    sys.exit(main())
