"""The engine: compiles a network for the wanted layers, and runs it fast on batches of images.

From pixels to features, as in the drawing of ``doc/engine.md``:

- `plan` cuts the layers into stages: `stage` (per image, grouped) and `batch_stage` (`dense`);
  `checks` says what cannot be run, `limits` has the sizes that decide, and `packed_weights` keeps
  weights as kernels read them.
- `lowering` rewrites the network before that: normalisations become parts of convolutions, and so
  on.
- `program` compiles a stage: `fusion` joins layers, `image_input`, `convolution_step` and the kinds
  of layers make steps (`steps`) with the help of the `builder`, `schedule` orders their rows, and
  `memory` and `workspace` hand out buffers.
- `convolutions` decides how each convolution is computed, and computes it.
- `numpy_fallback` runs where no kernels are compiled.

Letters in shapes and code:

- n images, each a map of h x w pixels and c channels: ``(n, h, w, c)``. A map of one pixel is a
  vector, ``(n, c)``. oh x ow is the size of an output, hp x wp that of a map inside its border.
- k x k is the size of a kernel, s its stride, g one of its groups, and `filters` are its outputs.
- Winograd's F(m, r) computes m x m outputs of an r x r kernel at a time, in t tiles.
- `units` are the outputs of a fully connected layer, `depth` is what a matrix product sums over.
- Rows are cut as ``[first, end)`` or ``[a, b)``.
"""

from .limits import Limits
from .plan import Plan

__all__ = ["Limits", "Plan"]
