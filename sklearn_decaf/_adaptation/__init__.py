"""Methods of domain adaptation, a module each; `sklearn_decaf.adaptation` has the public names."""
