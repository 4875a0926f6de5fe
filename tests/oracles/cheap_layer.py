"""The cheapest real features: the first pooled layer of the smaller embedded network."""

CHEAP = {"weights": "squeezenet1_1", "layer": "pool1", "pooling": "avg"}
