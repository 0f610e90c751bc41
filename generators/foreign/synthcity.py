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
import importlib.abc
import importlib.machinery
import importlib.util
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd

from ...bench.contracts import Budget
from .common import Adapter, seed_of

KINDS = ("generic", "privacy", "domain_adaptation")
ABSENT = (
    "torchvision",
    "monai",
    "tsai",
    "shap",
    "lifelines",
    "torchtuples",
    "pycox",
    "xgbse",
    "redis",
    "decaf",
    "fflows",
    "pykeops",
    "fastai",
    "fastcore",
    "be_great",
)


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
    install_stand_ins()
    for kind in KINDS:
        module = f"synthcity.plugins.{kind}.plugin_{name}"
        if importlib.util.find_spec(module) is not None:
            return importlib.import_module(module).plugin
    raise ValueError(f"synthcity has no plugin {name!r} for tables")


class _StandIn(ModuleType):
    """A module any member of which is a class that does nothing."""

    __path__ = []  # noqa: RUF012 - what makes it a package

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {"__init__": lambda self, *_, **__: None})


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds stand-ins after everything that is installed."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """Find a module of a package that is not installed."""
        if name.partition(".")[0] in ABSENT:
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec: Any) -> ModuleType:
        """Make a stand-in."""
        return _StandIn(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Do nothing."""


def install_stand_ins() -> None:
    """Let what is not installed, and never called, be imported."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.append(_Finder())
