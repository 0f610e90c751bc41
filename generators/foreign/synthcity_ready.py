"""What all plugins of synthcity import: named in ``about.preload``, so that it is imported once."""

import importlib

from . import stand_ins

stand_ins.install(stand_ins.SYNTHCITY)
importlib.import_module("synthcity.plugins.core.plugin")
