"""Our figures beside a paper's: the verdict on each, and the Markdown page that holds them.

All scripts of this folder report through this file, so that their pages have one shape: a section
for each generator on a dataset, with how it was run and a row for each figure. Several runs fill
one page: a run replaces its own sections and leaves the others alone.

Verdicts are decided on the numbers as they are printed, so that a reader can decide them again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from syntharena.evaluators.intervals import of_seeds

HEAD = "| figure | published | ours | tolerance | verdict |\n|---|---|---|---|---|"
ABSENT = "–"
Range = tuple[float, float]


@dataclass(frozen=True)
class Figure:
    """One number of a paper, and how near ours must come.

    Parameters
    ----------
    name : str
        What the page calls it.
    published : float, optional
        The paper's value; None if it has none for this generator.
    deviation : float, optional
        The standard deviation over the paper's runs.
    tolerance : float or (float, float), optional
        How far ours may be from the published value; or the least and the most that ours may be,
        where only an order is asked for. Without one there is no verdict.
    best : float, optional
        The best value there is; tells a miss that is better from one that is worse.
    decimals : int
        With which all its numbers are printed.
    """

    name: str
    published: float | None = None
    deviation: float | None = None
    tolerance: float | Range | None = None
    best: float | None = None
    decimals: int = 4

    def text(self, value: float) -> str:
        """Return a number as the page shows it."""
        return f"{value:.{self.decimals}f}"

    def shown(self, value: float) -> float:
        """Return a number as a reader of the page knows it."""
        return float(self.text(value))


@dataclass(frozen=True)
class Run:
    """How the values of a section came about.

    Parameters
    ----------
    command : str
        What was typed.
    size : str
        Preset, rows and seeds.
    cost : str
        CPU seconds.
    place : str
        Version and machine.
    reduced : bool
        Whether the run is smaller than its protocol.
    """

    command: str
    size: str
    cost: str
    place: str
    reduced: bool


@dataclass(frozen=True)
class Section:
    """A generator on a dataset: its figures, and our values of each, one a seed."""

    generator: str
    dataset: str
    run: Run
    figures: Sequence[Figure]
    values: Mapping[str, Sequence[float]] = field(repr=False)

    @property
    def heading(self) -> str:
        """The line by which a page is searched for the section."""
        return f"## {self.generator} on {self.dataset}"

    def markdown(self) -> str:
        """Return the section as Markdown, without a line break at its end."""
        run = self.run
        rows = [row(figure, self.values[figure.name], run.reduced) for figure in self.figures]
        lines = [
            f"{self.heading}\n",
            f"- command: `{run.command}`",
            f"- size: {run.size}; {'reduced' if run.reduced else 'full size'}",
            f"- cost: {run.cost}",
            f"- place: {run.place}\n",
            HEAD,
            *rows,
        ]
        return "\n".join(lines)


def usual_tolerance(deviation: float) -> float:
    """Return the tolerance where none was set beforehand: 2.5 deviations, at least 0.005."""
    return round(max(2.5 * deviation, 0.005), 4)


def row(figure: Figure, values: Sequence[float], reduced: bool) -> str:
    """Return the line of a table that holds a figure; a single value has no interval."""
    mean = of_seeds(values)
    ours = figure.text(mean.value)
    if len(values) > 1:
        ours += f" [{figure.text(mean.low)}, {figure.text(mean.high)}]"
    published = ABSENT if figure.published is None else figure.text(figure.published)
    if figure.deviation is not None:
        published += f" ± {figure.text(figure.deviation)}"
    cells = [figure.name, published, ours, _tolerance(figure), verdict(figure, mean.value, reduced)]
    return f"| {' | '.join(cells)} |"


def verdict(figure: Figure, ours: float, reduced: bool) -> str:
    """Say whether a figure is reproduced.

    Returns
    -------
    str
        "reproduced"; or "not reproduced", with "at full size" after it where the run was reduced,
        and where ours lies: "within" the tolerance, "better", "worse", or "outside" it. A reduced
        run reproduces nothing. Without a published value or tolerance there is no verdict.
    """
    if figure.published is None or figure.tolerance is None:
        return ABSENT
    where = _where(figure, figure.shown(ours))
    if where == "within" and not reduced:
        return "reproduced"
    return f"not reproduced{' at full size' * reduced} ({where})"


def _where(figure: Figure, ours: float) -> str:
    published, tolerance = figure.shown(figure.published or 0.0), figure.tolerance
    if isinstance(tolerance, tuple):
        inside = tolerance[0] <= ours <= tolerance[1]
    else:
        inside = round(abs(ours - published), 6) <= (tolerance or 0.0)
    if inside or figure.best is None:
        return "within" if inside else "outside"
    return "worse" if abs(ours - figure.best) > abs(published - figure.best) else "better"


def _tolerance(figure: Figure) -> str:
    if figure.tolerance is None:
        return ABSENT
    if not isinstance(figure.tolerance, tuple):
        return f"± {figure.tolerance:g}"
    least, most = figure.tolerance
    if most == float("inf"):
        return f"at least {figure.text(least)}"
    return f"at most {figure.text(most)}"


def put(section: Section, top: str, out: Path | None) -> None:
    """Print a section, and put it into a page.

    Parameters
    ----------
    section : Section
        What was found.
    top : str
        Title and text above all sections of the page.
    out : Path, optional
        The page; made if it is not there.
    """
    print(section.markdown() + "\n", flush=True)
    if out is not None:
        page = out.read_text(encoding="utf-8") if out.exists() else ""
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(replaced(page, section, top), encoding="utf-8")


def replaced(page: str, section: Section, top: str) -> str:
    """Return a page with a section in the place of the one with its heading, or at the end."""
    old = re.split(r"^(?=## )", page, flags=re.MULTILINE)[1:]
    sections = {text.partition("\n")[0]: text.strip() for text in old}
    sections[section.heading] = section.markdown()
    return "\n\n".join([top.strip(), *sections.values()]) + "\n"
