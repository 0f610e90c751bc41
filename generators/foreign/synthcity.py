"""synthcity's plugins for tables, any of them by its name.

Its pins ask for a torch that is two years old and for thirty packages that the plugins for tables
never call. So the environment is made without them, and what is not installed but imported at the
top of a module is an empty stand-in. A plugin that needs one of these fails and says so.

No argument takes public bounds or categories: encoders and the range of values are read off the
rows. So its private plugins are refused at a finite epsilon; without one they run at the epsilon
among their arguments, and claim nothing.
"""

# pyright: reportMissingImports=false
from __future__ import annotations

import importlib
import importlib.util
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ...bench.contracts import Budget
from . import stand_ins
from .common import Adapter, seed_of

KINDS = ("generic", "privacy", "domain_adaptation")


class Synthcity(Adapter):
    """A plugin of synthcity.

    Parameters
    ----------
    plugin : str
        Its name: "ddpm", "bayesian_network", ...
    arguments : mapping, optional
        Of its constructor.
    """

    refusal = "it reads categories and bounds off the rows, which no epsilon covers"

    def __init__(self, plugin: str, arguments: Mapping[str, Any] | None = None) -> None:
        super().__init__(arguments)
        self.plugin = plugin

    def learn(self, table: pd.DataFrame, budget: Budget, rng: np.random.Generator) -> None:
        """Fit the plugin."""
        cls = find_plugin(self.plugin)
        with tempfile.TemporaryDirectory(prefix="synthcity") as folder:
            self.model_ = cls(random_state=seed_of(rng), workspace=Path(folder), **self.arguments)
            self.model_.fit(table)

    def draw(self, n: int, rng: np.random.Generator) -> pd.DataFrame:
        """Generate from the seed that is drawn here."""
        return self.model_.generate(count=n, random_state=seed_of(rng)).dataframe()

    def __getstate__(self) -> dict[str, Any]:
        """Pickle the plugin as synthcity does: some of its classes have no name."""
        import cloudpickle

        return {**vars(self), "model_": cloudpickle.dumps(self.model_)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        import cloudpickle

        find_plugin(state["plugin"])
        vars(self).update(state, model_=cloudpickle.loads(state["model_"]))


def find_plugin(name: str) -> Any:
    """Import the class of a plugin, and no other plugin.

    Raises
    ------
    ValueError
        If there is none of this name.
    """
    stand_ins.install(stand_ins.SYNTHCITY)
    for kind in KINDS:
        module = f"synthcity.plugins.{kind}.plugin_{name}"
        if importlib.util.find_spec(module) is not None:
            return importlib.import_module(module).plugin
    raise ValueError(f"synthcity has no plugin {name!r} for tables")
