"""Tables as models see them, and the way back: numbers, codes, cells, blocks, modes."""
