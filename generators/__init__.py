"""Generators: one file each, named by ``conf/generator/*.yaml``."""
