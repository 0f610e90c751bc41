"""Search: a generator's hyperparameters, chosen by trials inside a cell."""
