"""Image descriptors, a module each; `sklearn_decaf.descriptors` has the public names."""
