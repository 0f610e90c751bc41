"""Pictures: an evaluator's charts as SVG that can stand in a page.

Text stays text and takes the page's colour, so a chart reads well on light and dark paper. Whatever
the user's own settings of matplotlib are, equal charts give equal bytes. Texts are shown as they
are: a dollar sign in a column's name starts no formula.
"""

from __future__ import annotations

import html
import io
import re
import warnings
from typing import TYPE_CHECKING, Any

from ..contracts import Picture
from ..escape import visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SIZE = (4.5, 3.0)  # inches
DENSE = 2000  # marks; more of them are drawn as an image
CROWD = 14  # ticks; with more of them their texts get smaller
LONG = 24  # characters of a tick's text
TICK_SIZE = 8
INK = "#123457"  # stands for the page's colour of text; nothing else is drawn in it
# Real, synthetic, then others: each stands out from white and from near-black paper.
COLOURS = ("#2f7fc4", "#e07b18", "#2f9e62", "#9a66c9", "#d1495b", "#7d8694")
SETTINGS: dict[Any, Any] = {
    "axes.edgecolor": INK,
    "axes.facecolor": "none",
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.facecolor": "none",
    "font.sans-serif": ["DejaVu Sans", "Arial"],
    "font.size": 9,
    "hatch.color": INK,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "patch.edgecolor": INK,
    "savefig.dpi": 150,
    "svg.fonttype": "none",
    "text.color": INK,
    "text.parse_math": False,
    "xtick.color": INK,
    "xtick.labelsize": TICK_SIZE,
    "ytick.color": INK,
    "ytick.labelsize": TICK_SIZE,
}


def to_svg(picture: Picture, name: str) -> str:
    """Draw a picture.

    Parameters
    ----------
    picture : Picture
        What to draw; an error of its ``draw`` is passed on.
    name : str
        Of letters and digits, and no other picture's on the page: it marks what the SVG defines.
    """
    import matplotlib
    from cycler import cycler
    from matplotlib.figure import Figure

    file = io.BytesIO()
    with matplotlib.rc_context(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of glyphs that the measuring font lacks
        matplotlib.rcdefaults()
        own: dict[Any, Any] = {"axes.prop_cycle": cycler(color=COLOURS), "svg.hashsalt": name}
        matplotlib.rcParams.update(SETTINGS | own)
        figure = Figure(figsize=SIZE, layout="constrained")
        axes = figure.subplots()
        picture.draw(axes)
        for each in figure.axes:
            _finish(each)
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    return _for_page(file.getvalue().decode(), picture.title, name)


def _finish(axes: Axes) -> None:
    """Make texts visible and fit, crowds of marks images, and powers of ten numbers."""
    from matplotlib.text import Text
    from matplotlib.ticker import FuncFormatter, LogFormatter, NullFormatter

    for text in axes.findobj(Text):
        text.set_text(_visible(text.get_text()))  # type: ignore[attr-defined]
    marks = [*axes.collections, *(line for line in axes.lines if line.get_marker() != "None")]
    for artist in marks:
        if _count(artist) > DENSE:
            artist.set_rasterized(True)
    for axis in (axes.xaxis, axes.yaxis):
        if axis.get_scale() == "log" and isinstance(axis.get_major_formatter(), LogFormatter):
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axis.set_minor_formatter(NullFormatter())
        _rewrite_ticks(axis.get_major_formatter())
        if (ticks := len(axis.get_majorticklocs())) > CROWD:
            axis.set_tick_params(labelsize=max(3.5, TICK_SIZE * CROWD / ticks))


def _rewrite_ticks(formatter: Any) -> None:
    """Let the texts of ticks, which are written at the very last, be visible and short."""
    write = formatter.format_ticks
    formatter.format_ticks = lambda values: [_short(_visible(text)) for text in write(values)]


def _short(text: str) -> str:
    return text if len(text) <= LONG else text[: LONG - 1] + "…"


def _visible(text: str) -> str:
    """Make a text visible; its line breaks stay."""
    return "\n".join(visible(line) for line in text.split("\n"))


def _count(artist: Any) -> int:
    """Return how many marks an artist draws."""
    if hasattr(artist, "get_xdata"):
        return len(artist.get_xdata())
    cells = artist.get_array()
    return max(len(artist.get_offsets()), 0 if cells is None else cells.size)


def _for_page(svg: str, title: str, name: str) -> str:
    """Make an SVG file part of a page: titled, in the page's colour, with ids of its own."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'( id="|"#|url\(#)', rf"\g<1>{name}-", svg).replace(INK, "currentColor")
    root, rest = svg.split(">", 1)
    root = re.sub(r' (width|height)="[^"]*"', "", root)
    label = html.escape(visible(title))
    return f'{root} role="img" aria-label="{label}">{rest}'
