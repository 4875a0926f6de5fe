"""Splitters; `sklearn_decaf.model_selection` has the public names."""
