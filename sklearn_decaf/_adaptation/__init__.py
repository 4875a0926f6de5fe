"""Domain adaptation: one method per module; `sklearn_decaf.adaptation` is the public door."""
