"""The harness: everything between a configuration and a leaderboard.

Files at the top are its words: contracts, schema, budget and ledger, cells, store. Folders use them
and the folders below: ``commands`` (the command line) stand on ``slurm``, ``ray`` and ``audit``,
these on ``running`` (cells on this machine), that on ``search`` (hyperparameters) and ``data``
(real tables); ``foreign`` has generators in environments of their own. ``boards`` (from records to
leaderboards) and ``scoring`` (a table from anywhere) know nothing of sweeps.
"""
