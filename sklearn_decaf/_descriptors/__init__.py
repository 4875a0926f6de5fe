"""Hand-engineered image descriptors, a module each; :mod:`sklearn_decaf.descriptors` is public."""
