"""Write docs/reference/metrics.md and datasets.md from what the code and conf/ declare.

``python scripts/reference_pages.py`` writes both; the tests compare them with what it would write.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from textwrap import fill
from typing import Any

from syntharena.bench import config, targets
from syntharena.bench.contracts import Metric

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs" / "reference"
TABLES = ROOT / "conf" / "dataset" / "tables"
NOTICE = "<!-- Written by scripts/reference_pages.py; change the declarations instead. -->"

METRICS_HEAD = f"""\
# Metrics

{NOTICE}

Every number that a record can hold, by the evaluator that declares it. A name tells its direction:
`*_score` and `*_per_second` are better high, `*_error`, `*_seconds`, `*_mib` and `*_count` better
low. The score of an attack is the attacker's: low is good. Leaderboards rank by the metrics marked
"ranked", and do not rank a generator beyond a "limit". A metric "per class" or "per column" has one
value for each, under `name[label]`. The version is raised whenever values may change; a board never
mixes two versions.
"""

DATASETS_HEAD = f"""\
# Datasets

{NOTICE}

Every table with a YAML in `conf/dataset`. "Where" is *shipped* for a table in the package and
*download* for one whose provider is named in its YAML; a file in the data folder comes before a
download. "Duplicates: free" marks a table in which equal rows are no copies, so that a split may
part them. Each YAML says under `domain` where its public categories and bounds are from.
"""


def table(head: list[str], rows: Iterable[list[str]]) -> Iterator[str]:
    """Yield the lines of a Markdown table."""
    yield f"| {' | '.join(head)} |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', '&#124;') for cell in row)} |"


def bullet(text: str) -> str:
    """Return a bullet, wrapped."""
    return fill(f"- {text}", 100, subsequent_indent="  ", break_long_words=False)


# Metrics


def metrics_page() -> str:
    """Return the page of metrics."""
    lines = [METRICS_HEAD]
    for name, spec in config.all_options("evaluator").items():
        evaluator = targets.build(spec, ("evaluate",))
        summary = spec["about"]["summary"]
        lines += [f"## {name}", "", f"{summary[0].upper()}{summary[1:]}.", ""]
        lines += table(
            ["metric", "family", "better", "worst", "best", "unit", "ranked", "version"],
            map(_metric, evaluator.metrics),
        )
        lines += ["", *_definitions(evaluator.metrics), ""]
    return "\n".join(lines)


def _metric(metric: Metric) -> list[str]:
    name = f"`{metric.name}`" + (f" per {metric.per}" if metric.per else "")
    ends = [f"{end:g}" for end in (metric.worst, metric.best)]
    limit = "" if metric.limit is None else f"limit {metric.limit:g}"
    ranked = "ranked" if metric.ranked else limit
    return [name, metric.family, metric.direction, *ends, metric.unit, ranked, str(metric.version)]


def _definitions(metrics: Iterable[Metric]) -> Iterator[str]:
    for metric in metrics:
        yield bullet(f"`{metric.name}`: {metric.definition}")


# Datasets


def datasets_page() -> str:
    """Return the page of datasets."""
    found = config.all_options("dataset")
    lines = [
        DATASETS_HEAD,
        *table(
            ["dataset", "rows", "columns", "target", "task", "where", "licence"],
            (_dataset(name, spec) for name, spec in found.items()),
        ),
        "",
    ]
    for name, spec in found.items():
        lines += [f"## {name}", "", spec["summary"], ""]
        lines += [bullet(f"{label}: {text}") for label, text in _facts(spec) if text]
        lines.append("")
    return "\n".join(lines)


def _dataset(name: str, spec: Mapping[str, Any]) -> list[str]:
    elsewhere = "download" if spec["download"] else "data folder"
    where = "shipped" if (TABLES / f"{name}.csv.gz").exists() else elsewhere
    sizes = [str(spec["pins"][size]) for size in ("rows", "columns")]
    return [f"`{name}`", *sizes, spec["target"] or "", spec["task"] or "", where, spec["licence"]]


def _facts(spec: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    kinds = Counter(column["kind"] for column in spec["columns"].values())
    yield "Kinds", ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
    missing = [name for name, column in spec["columns"].items() if column.get("missing")]
    yield "Columns that may be missing", str(len(missing)) if missing else ""
    for label, key in (("Sensitive", "sensitive"), ("Identifiers", "identifiers")):
        yield label, ", ".join(spec[key])
    yield "Source of a row", spec["source"] or ""
    yield "Named splits", ", ".join(spec["splits"])
    yield "Duplicates", spec.get("duplicates") or ""
    yield "Domain", _sentence(spec["domain"])
    yield "Citation", _sentence(spec["citation"])


def _sentence(text: str) -> str:
    return " ".join(text.split())


def pages() -> dict[Path, str]:
    """Return the content of each page by its path."""
    made = {"metrics.md": metrics_page(), "datasets.md": datasets_page()}
    return {FOLDER / name: page.rstrip() + "\n" for name, page in made.items()}


def main() -> None:
    """Write both pages."""
    for path, page in pages().items():
        path.write_text(page, encoding="utf-8")
        print(path.relative_to(ROOT))


if __name__ == "__main__":
    main()
