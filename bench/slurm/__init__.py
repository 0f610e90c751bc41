"""SLURM: cells in job arrays, judged by their records and never by the scheduler alone.

``launcher`` groups cells into parcels and submits them (``parcels``, ``request``), ``submission``
is what the Store keeps of that, ``task`` runs on a node, ``follow`` watches from outside, and
``cluster`` is the only file that calls SLURM's commands.
"""
