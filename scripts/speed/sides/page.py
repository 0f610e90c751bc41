"""The page: medians with their range, ratios, and what is not alike."""

from __future__ import annotations

import re
import statistics
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .pairs import NO_PACKAGE, PAIRS, Pair

ABSENT = "–"
Runs = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Measure:
    """A line of a pair.

    Parameters
    ----------
    key : str
        Of a run.
    name : str
        What the page calls it.
    decimals : int, optional
        Of a score; None: three digits.
    short : str
        Its head in the table of ratios; empty for those that are not in it.
    """

    key: str
    name: str
    decimals: int | None = None
    short: str = ""

    def text(self, value: float) -> str:
        """Write a value."""
        return digits(value) if self.decimals is None else f"{value:.{self.decimals}f}"


MEASURES = (
    Measure("epoch_seconds", "CPU s an epoch", short="epoch"),
    Measure("epoch_steps", "optimizer steps an epoch"),
    Measure("fit_seconds", "CPU s, whole fit", short="fit"),
    Measure("rows_per_second", "rows drawn a CPU s", short="rows/s"),
    Measure("total_seconds", "CPU s, fit and draw", short="fit and draw"),
    Measure("peak_mib", "MiB at the peak beyond imports", short="MiB"),
    Measure("auroc", "TSTR AUROC", 4),
    Measure("shape", "shape score", 4),
    Measure("trend", "trend score", 4),
)
ALWAYS = "fit_seconds"


def digits(value: float) -> str:
    """Write a number with three digits, a large one whole."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def values(runs: Runs, key: str) -> list[float]:
    """Return what the runs say of a measure; nothing for 0 steps."""
    return [float(run[key]) for run in runs if run.get(key)]


def shown(measure: Measure, runs: Runs) -> str:
    """Write the median of some runs and their range, or why there is none."""
    found = values(runs, measure.key)
    if not found:
        return next((short_end(run["ended"]) for run in runs if run.get("ended")), ABSENT)
    middle, low, high = map(measure.text, (statistics.median(found), min(found), max(found)))
    return middle if low == high else f"{middle} [{low}–{high}]"


def short_end(ended: str) -> str:
    """Return the reason without what was used, which the list below the table tells."""
    return "failed" if ended.startswith("failed") else ended.partition(" (")[0]


def ratio(measure: Measure, ours: Runs, peer: Runs) -> str:
    """Write the peer's median by ours; a lower bound where the peer's fit was ended."""
    value, exact = times(measure.key, ours, peer)
    if value is None:
        return ABSENT
    return digits(value) if exact else f"> {value:.2g}"


def times(key: str, ours: Runs, peer: Runs) -> tuple[float | None, bool]:
    """Return the peer's median by ours, if there is one, and whether it is more than a bound."""
    first, second = values(ours, key), values(peer, key)
    if first and second:
        return statistics.median(second) / statistics.median(first), True
    limits = [run["limit"] for run in peer if "not done" in run.get("ended", "")]
    if first and limits and key in ("fit_seconds", "total_seconds"):
        return limits[0] / statistics.median(first), False
    return None, False


def verdict(pair: Pair, found: Mapping[str, Any]) -> list[str]:
    """Return the aim of a pair and whether it is met; a bound below the aim says nothing."""
    for key in ("epoch_seconds", "total_seconds"):
        value, exact = times(key, found["ours"], found["peer"])
        if value is not None:
            met = "yes" if value >= pair.aim else "no" if exact else ABSENT
            return [f"{pair.aim:g}", met]
    return [f"{pair.aim:g}", ABSENT]


def page(results: Mapping[str, Any], words: str = "") -> str:
    """Return the whole page as Markdown.

    Parameters
    ----------
    results : mapping
        As ``peers.py`` keeps them: ``place``, ``commands``, ``tables``, ``steps`` and ``devices``.
    words : str
        What a person says of them, below the title.
    """
    parts = [TITLE, *filter(None, [words]), TOP.strip(), place(results)]
    parts += [section(label, table) for label, table in results["tables"].items()]
    if results.get("steps"):
        parts.append(steps_section(results["steps"]))
    parts += [device_section(name, found) for name, found in (results.get("devices") or {}).items()]
    return "\n\n".join(parts) + "\n"


def words_of(page: str) -> str:
    """Return what a person has written into a page, with the marks around it; else nothing."""
    found = WORDS.search(page)
    return found[0] if found else ""


def wrapped(line: str) -> str:
    """Break a line of a list into lines of at most 100 columns."""
    indent = " " * (len(line) - len(line.lstrip()) + 2)
    return textwrap.fill(
        line, 100, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


TITLE = "# Our generators beside other people's"
WORDS = re.compile("<!-- words -->\n.*\n<!-- /words -->", re.DOTALL)
TOP = """
## How it was measured

Written by `scripts/speed/peers.py`. Both sides fit the same table and draw as many rows, each in a
process of its own on one thread, in turns. The peer's arguments are its defaults unless the list
below a table says otherwise; ours are the same architecture, batch and epochs. Shown are the median
of the runs and, in brackets, the least and the most.

- An epoch is the mean time from one step of an optimizer to the next, times the steps of an epoch:
  encoding is not in it. The whole fit has everything.
- CPU seconds are those of a process and of the workers that it started. MiB are the most that the
  process had, without its workers, less what it had after imports and reading the table.
- TSTR AUROC (XGBoost), shape and trend are measured by our evaluators, on the same real rows.
- The last column is the peer's number by ours. Above 1 ours is cheaper, and for rows drawn a second
  below 1.
- The aim is how many times faster ours shall be: in an epoch where both have epochs, else in fit
  and draw.
- Few epochs train no network: the scores say that both learn alike, not how good either can be.
"""


def place(results: Mapping[str, Any]) -> str:
    """Return what was typed and where the numbers come from."""
    typed = "\n".join(f"$ {command}" for command in dict.fromkeys(results["commands"]))
    lines = [wrapped(f"- {name}: {value}") for name, value in results["place"].items()]
    return "\n".join(["```console", typed, "```", "", *lines])


def section(label: str, table: Mapping[str, Any]) -> str:
    """Return what belongs to one table: ratios, then all numbers, then what is not alike."""
    known = [(pair, table["pairs"][pair.name]) for pair in PAIRS if pair.name in table["pairs"]]
    head = f"## {label}: {table['rows']:,} rows\n\nReal rows teach an AUROC of {table['real']:.4f}."
    notes = [wrapped(line) for pair, found in known for line in remarks(pair, found)]
    return "\n\n".join([head, in_short(known), in_full(known), "\n".join(notes)]).strip()


def in_short(known: Sequence[tuple[Pair, Mapping[str, Any]]]) -> str:
    """Return the table of ratios, peer by ours."""
    measures = [measure for measure in MEASURES if measure.short]
    rows = []
    for pair, found in known:
        if pair.peer:
            ratios = [ratio(measure, found["ours"], found["peer"]) for measure in measures]
            rows.append([pair.name, *ratios, *verdict(pair, found)])
    heads = ["peer / ours", *(measure.short for measure in measures), "aim", "met"]
    return grid(heads, rows) if rows else ""


def in_full(known: Sequence[tuple[Pair, Mapping[str, Any]]]) -> str:
    """Return the table of all numbers; lines that nobody has are left out, but for the fit."""
    rows = []
    for pair, found in known:
        for measure in MEASURES:
            ours, peer = found["ours"], found["peer"]
            unknown = not values(ours, measure.key) and not values(peer, measure.key)
            if unknown and measure.key != ALWAYS:
                continue
            theirs = shown(measure, peer) if pair.peer else NO_PACKAGE
            cells = [shown(measure, ours), theirs, ratio(measure, ours, peer)]
            rows.append([pair.name, pair.generator, measure.name, *cells])
    return grid(["pair", "ours is", "measure", "ours", "peer", "peer / ours"], rows)


def remarks(pair: Pair, found: Mapping[str, Any]) -> list[str]:
    """Return lines on versions, settings and what went wrong."""
    asked = f"{found['epochs']} epochs, " * bool(pair.lengths) + f"{found['draws']:,} rows drawn"
    if pair.peer is None:
        line = f"- {pair.name}: {asked}; {NO_PACKAGE} on the registries. {pair.note}"
        return [line.rstrip(), *ends(found)]
    versions = next((run["versions"] for run in found["peer"] if "versions" in run), {})
    who = ", ".join(f"{name} {version}" for name, version in versions.items())
    told = ", ".join(f"{name}={value}" for name, value in pair.peer.settings.items())
    who = f"{who or pair.peer.environment}, {told or 'defaults'}"
    return [f"- {pair.name}: {asked}; {who}. {pair.note}".rstrip(), *ends(found)]


def ends(found: Mapping[str, Any]) -> list[str]:
    """Return a line for each way in which a side was ended."""
    known = {
        (side, run["ended"]): None
        for side in ("ours", "peer")
        for run in found[side]
        if run.get("ended")
    }
    return [f"  - {side}: {ended.rstrip('.')}." for side, ended in known]


def steps_section(steps: Mapping[str, Any]) -> str:
    """Return the section on training steps on the CPU."""
    return f"{STEPS.strip()}\n\n{steps_table(steps)}"


def steps_table(steps: Mapping[str, Any]) -> str:
    """Return the peak and the table of training steps; parts only where they were told apart."""
    if "peak" not in steps:
        return wrapped(f"They were not measured: {steps['ended']}.")
    peak = steps["peak"]
    parts = [part for part in PARTS if any(part in step for step in steps["steps"])]
    rows = []
    for step in steps["steps"]:
        rate = step["flops"] / step["seconds"]
        costs = [1e3 * step["seconds"], step["flops"] / 1e6, rate / 1e9]
        shares = [rate / peak, *(step[part] for part in parts)]
        rows.append([step["name"], *map(digits, costs), *(share_text(s) for s in shares)])
    heads = ["network", "ms a step", "MFLOP", "GFLOP/s", "of the peak", *parts]
    return f"{MEASURED.format(peak / 1e9)}\n\n{grid(heads, rows)}"


def share_text(share: float) -> str:
    """Write a share in percent, a small one with a digit more."""
    return f"{share:.0%}" if share >= 0.1 or share == 0 else f"{share:.1%}"


PARTS = ("data", "network", "optimizer", "rest")
STEPS = """
## Training steps of our networks

With the preset cpu, on adult, one thread. MFLOP are those of matrix products, forward and backward.
Data is what comes beside the network: batches, one-hot rows, random numbers; the aim is less than a
fifth. The rest are losses, activations and noising outside of modules, and Python.
"""
MEASURED = "A large product of two float32 matrices, which is the peak: {:,.1f} GFLOP/s."


def device_section(name: str, found: Mapping[str, Any]) -> str:
    """Return the section on our networks on a device."""
    parts = [DEVICE.format(name).strip()]
    for label, table in found["tables"].items():
        epochs = f"{table['epochs']} epochs on {table.get('device', 'no device')}"
        parts.append(f"### {name}, {label}: {table['rows']:,} rows, {epochs}")
        rows = [
            [net["name"], *(digits(net[key]) for key in DEVICE_MEASURES), f"{net['shape']:.4f}"]
            for net in table.get("networks", ())
        ]
        parts.append(grid(["network", *DEVICE_MEASURES.values(), "shape score"], rows))
        parts += [wrapped(f"It was ended: {table['ended']}.")] if "ended" in table else []
    if "steps" in found:
        parts += [f"### {name}: training steps on adult", steps_table(found["steps"])]
    return "\n\n".join(parts)


DEVICE = """
## Our networks on {}

Seconds on the clock with the device's work done. Architecture, batch and epochs are those of the
first pair of each. A step is the mean from the second look at the losses to the last, so imports
and the first call are not in it; the whole fit has encoding on the CPU as well. MiB are the most
that tensors took on the device.
"""
DEVICE_MEASURES = {
    "epoch_seconds": "s an epoch",
    "milliseconds": "ms a step",
    "fit_seconds": "s, whole fit",
    "rows_per_second": "rows drawn a s",
    "peak_mib": "MiB",
}


def grid(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table of Markdown."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
