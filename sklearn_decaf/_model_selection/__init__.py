"""Splitters; `sklearn_decaf.model_selection` is the public door."""
