"""Empty modules in place of what a library imports at the top and never calls.

This file imports nothing of the project: a script in another library's environment runs it by its
path.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
from collections.abc import Iterable
from types import ModuleType
from typing import Any

# synthcity imports these at the top of modules that its plugins for tables never call.
SYNTHCITY = (
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
)


class StandIn(ModuleType):
    """A module any member of which is a class that does nothing."""

    __path__ = []  # noqa: RUF012 - what makes it a package

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {"__init__": lambda self, *_, **__: None})


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds a stand-in for every module of some packages."""

    def __init__(self, packages: Iterable[str]) -> None:
        self.packages = frozenset(packages)

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """Find a module of one of the packages."""
        if name.partition(".")[0] in self.packages:
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec: Any) -> ModuleType:
        """Make a stand-in."""
        return StandIn(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Leave it empty."""


def install(packages: Iterable[str]) -> None:
    """Let those of the packages that are not installed be imported all the same."""
    wanted = frozenset(packages)
    if not any(isinstance(own, Finder) and own.packages >= wanted for own in sys.meta_path):
        sys.meta_path.append(Finder(wanted))
