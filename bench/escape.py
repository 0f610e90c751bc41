"""Escaping and number formats: names are data, in whatever format they are printed.

A name may hold anything: markup of the format, a spreadsheet formula, control characters, bidi
controls that reorder a line, half a surrogate pair. ``visible`` makes the invisible ones visible;
the other functions neutralise what a format would act on.
"""

from __future__ import annotations

import re

# C0, DEL and C1 controls, soft hyphen, zero-width and bidi controls, separators that break lines,
# BOM, interlinear and tag characters, lone surrogates, noncharacters
_INVISIBLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff0-\uffff"
    "\ud800-\udfff\U000e0000-\U000e0fff]"
)
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")  # ASCII and full-width
_MARKDOWN = re.compile(r"[\\*{}\[\]()#+!~$]|(?<![^\W_])_|_(?![^\W_])|^[-=]")
_MARKDOWN_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "|": "&#124;", "`": "&#96;"}
_MARKDOWN_ENTITIES |= {"@": "&#64;", "://": "&#58;//"}
_LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "^": r"\textasciicircum{}",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "%": r"\%",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "'": r"\textquotesingle{}",
    "`": r"\textasciigrave{}",
    # after the end of a row a bracket or a star would be its argument
    "[": "{[}",
    "]": "{]}",
    "*": "{*}",
    "ε": r"$\varepsilon$",
    "δ": r"$\delta$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "–": "--",
}


def visible(text: str) -> str:
    r"""Replace what cannot be seen, or reorders what can, by escapes: ``\n``, ``\u202e``."""
    return _INVISIBLE.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    character = match.group()
    if character in _SHORT:
        return _SHORT[character]
    code = ord(character)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def csv_text(text: str) -> str:
    """Write a text as a CSV field that no spreadsheet takes for a formula."""
    text = visible(text)
    if text.startswith(_FORMULA):
        text = "'" + text
    if any(character in text for character in ',;"') or text != text.strip():
        return '"' + text.replace('"', '""') + '"'
    return text


def markdown(text: str) -> str:
    """Write a text so that Markdown shows it as it is, in a line or in a table."""
    escaped = _MARKDOWN.sub(lambda match: "\\" + match.group(), visible(text))
    for character, entity in _MARKDOWN_ENTITIES.items():
        escaped = escaped.replace(character, entity)
    return escaped


def latex(text: str) -> str:
    """Write a text so that LaTeX prints it as it is."""
    return "".join(_LATEX.get(character, character) for character in visible(text))


def number(value: float, places: int | None = None) -> str:
    """Write a number with three decimals, fewer if it is large; never as zero unless it is.

    Examples
    --------
    >>> number(0.98765), number(-0.0421), number(123.456), number(0.00004)
    ('0.988', '-0.042', '123.5', '4.0e-05')
    """
    text = f"{value:.{decimals(value) if places is None else places}f}"
    if float(text) == 0:
        return f"{value:.1e}" if value else text.lstrip("-")
    return text


def decimals(*values: float) -> int:
    """Digits after the point that suit the largest of these values."""
    largest = max(abs(value) for value in values)
    return 3 if largest < 10 else 2 if largest < 100 else 1 if largest < 1000 else 0


def interval(mean: float, low: float | None, high: float | None) -> str:
    """Write a mean with its interval, ``0.988 [0.981, 0.993]``; alone if it has none."""
    if low is None or high is None:
        return number(mean)
    places = decimals(mean, low, high)
    return f"{number(mean, places)} [{number(low, places)}, {number(high, places)}]"


def plus_minus(mean: float, low: float | None, high: float | None) -> tuple[str, str]:
    """Write a mean, and half the width of its interval (empty if it has none)."""
    if low is None or high is None:
        return number(mean), ""
    places = decimals(mean, low, high)
    return number(mean, places), number((high - low) / 2, places)


def printable(text: str) -> str:
    """Show control and bidirectional characters as escapes."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
