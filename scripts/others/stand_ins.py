"""What stands in for modules that other people's libraries import and never use."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import warnings
from types import ModuleType
from typing import Any

# synthcity imports these at the top of modules that its privacy plugins never call.
SYNTHCITY_ABSENT = [
    "torchvision",
    "monai",
    "tsai",
    "shap",
    "lifelines",
    "torchtuples",
    "pycox",
    "xgbse",
    "redis",
    "google",
    "pyparsing",
    "statsmodels",
    "nflows",
    "decaf",
    "arfpy",
    "fflows",
    "pykeops",
    "fastai",
    "fastcore",
    "be_great",
]


class StandIn(ModuleType):
    """A module any member of which is a class that does nothing."""

    __path__ = []  # noqa: RUF012 - what makes it a package

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {"__init__": lambda self, *_, **__: None})


class StandInFinder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds stand-ins after everything that is installed."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """Find a module of a package that is not installed."""
        if name.partition(".")[0] in SYNTHCITY_ABSENT:
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec: Any) -> ModuleType:
        """Make a stand-in."""
        return StandIn(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Do nothing."""


class OnlyRuntimeErrors:
    """Stands in for the module warnings in DataSynthesizer.lib.PrivBayes.

    That turns every later warning of the process into an error, to notice one of SciPy; with the
    deprecations of today's pandas it would never get through.
    """

    @staticmethod
    def filterwarnings(action: Any) -> None:
        """Turn only the kind of warning into an error that the caller catches."""
        warnings.filterwarnings(action, category=RuntimeWarning)
