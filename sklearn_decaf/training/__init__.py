"""Training of networks: losses, penalties, fillers, solvers and schedules.

Nothing here is public yet: these are the parts that estimators which train networks are made of,
in modules of their own.

- `_losses`, what is to be made small, and its gradient by the scores; `_penalties` on parameters.
- `_fillers`, with what parameters begin.
- `_solvers`, how a gradient changes parameters; `_schedules`, at which learning rate;
  `_averaging`, the mean of parameters over steps; `_clipping` of gradients;
  `_lbfgs`, for all images at once.
- `_by_layer`, numbers that differ from layer to layer.

Parameters and gradients are dictionaries of arrays by full names, such as ``"conv1.kernel"``.
"""

__all__: list[str] = []
