"""Features of rows: which layers, how they are computed, dropout on them."""
