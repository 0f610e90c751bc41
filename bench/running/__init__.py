"""Running: the cells of a sweep on this machine, from a launcher to the stages of one cell."""
