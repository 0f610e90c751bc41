"""Adapters to other people's generators: each file runs where its library is installed.

They are the classes that ``conf/generator/LIBRARY/NAME.yaml`` names; the environment is stated
there too. The harness runs them in it (docs/guides/foreign-environments.md), so the libraries are
imported inside functions, and only the contracts and this folder besides.
"""
