"""What all plugins of synthcity import: named in ``about.preload``, so that it is imported once."""

import importlib

from .synthcity import install_stand_ins

install_stand_ins()
importlib.import_module("synthcity.plugins.core.plugin")
