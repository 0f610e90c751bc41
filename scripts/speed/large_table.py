"""Print what every generator without a privacy mechanism costs on a large mixed table.

    python scripts/speed/large_table.py [NAME ...] [--rows 300000] [--columns 50] [--preset cpu]
        [--asked COLUMNS] [--seconds 1200] [--gib 9]

The table is that of ``sides/large.py``. Each line is a process of its own on one thread that fits
it and draws as many rows; with --asked, then as many again given that number of columns. Seconds
are of the CPU, "peak" is the most memory of the process, "- table" what of it is not the table.
"apart" is the distance of the correlation of the first two numbers from that in the table. Whatever
reaches --seconds or --gib is ended, and its line says so.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

from sides import processes

from syntharena.bench import config

PROMISED_MIB = 8 * 1024
HEADS = ("generator", "fit s", "sample s", "rows/s", "given s", "peak MiB", "- table", "apart")

CELLS = {
    "fit": ".1f",
    "sample": ".1f",
    "rate": ",.0f",
    "given": ".1f",
    "peak": ",.0f",
    "beyond": ",.0f",
    "apart": ".2f",
}


def main() -> None:
    """Measure each generator in a process of its own."""
    options = arguments()
    asks = [f"--{name}={getattr(options, name)}" for name in ("rows", "columns", "preset", "asked")]
    limits = processes.Limits(options.seconds, options.gib * 1024)
    print(f"{options.rows:,} rows of {options.columns} columns, preset {options.preset}:\n")
    print(f"| {' | '.join(HEADS)} | within 8 GiB |")
    print(f"|---|{'---:|' * (len(HEADS) - 1)}---|")
    for name in options.names:
        found = processes.run(sys.executable, "large", [name, *asks], limits)
        print(f"| {name} | {' | '.join(line(found, options.rows))} |", flush=True)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--rows", type=int, default=300_000)
    parser.add_argument("--columns", type=int, default=50)
    parser.add_argument("--preset", default="cpu", choices=config.PRESETS)
    parser.add_argument("--asked", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=1200.0, help="of the CPU, of a process")
    parser.add_argument("--gib", type=float, default=9.0, help="memory of a process")
    options = parser.parse_args()
    specs = config.all_options("generator", preset=options.preset)
    plain = [name for name, spec in specs.items() if "dp" not in spec["about"].get("tags", ())]
    if strange := sorted(set(options.names) - set(plain)):
        parser.error(f"NAME must be one of {', '.join(plain)}; got {', '.join(strange)}")
    options.names = options.names or plain
    return options


def line(found: dict[str, Any], rows: int) -> list[str]:
    """Format what was told, as far as it went."""
    if "sample" in found:
        found["rate"] = rows / max(found["sample"], 1e-9)
    if "peak" in found:
        found["beyond"] = found["peak"] - found["table"]
    cells = [f"{found[name]:{form}}" if name in found else "" for name, form in CELLS.items()]
    if "ended" in found:
        return [*cells, found["ended"]]
    return [*cells, "yes" if found["peak"] <= PROMISED_MIB else "NO"]


if __name__ == "__main__":
    main()
