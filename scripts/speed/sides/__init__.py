"""The parts of ``peers.py`` beside this folder.

``meter``, ``ours`` and ``theirs`` run in processes of their own. ``meter`` and ``theirs`` import
nothing of this project: they run on the Python of each peer's environment.
"""
