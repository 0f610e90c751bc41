"""Templates: self-contained HTML pages from the files beside this one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .escape import visible


def render(name: str, **values: Any) -> str:
    """Render a page; every text is made visible and escaped by the template."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        finalize=lambda value: visible(value) if type(value) is str else value,
    )
    return environment.get_template(name).render(**values).rstrip() + "\n"
