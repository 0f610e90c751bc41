"""Ray: cells on the nodes of a Ray cluster, for clusters without SLURM.

``launcher`` divides cells among runners and watches them, ``runner`` is what Ray puts on a node.
"""
