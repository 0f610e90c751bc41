"""Ray: cells on the nodes of a Ray cluster, for clusters without SLURM.

``launcher`` connects and divides cells by what they need (``needs``), ``crew`` hires runners and
watches them, ``runner`` is what Ray puts on a node.
"""
