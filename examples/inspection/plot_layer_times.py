"""
==============================
Measure the time of each layer
==============================

Figure 3 of the DeCAF paper shows the share of each layer in the time of a pass through the network.
In 2013 convolutions and fully connected layers took nearly all of it, and the fully connected
layers took most. :class:`~sklearn_decaf.inspection.LayerTimeDisplay` measures the same for the
networks here. The weights do not change the time, so random ones would show the same.
"""

# %%
# Measure
# -------
# A step is a layer, or several layers that are computed together. Close other programs first: what
# they compute at the same time changes the numbers.

# sphinx_gallery_multi_image = "single"
import matplotlib.pyplot as plt

from sklearn_decaf import DeCAFTransformer
from sklearn_decaf.inspection import LayerTimeDisplay

displays = {}
for name in "efficientnet_lite0", "squeezenet1_1":
    displays[name] = LayerTimeDisplay.from_estimator(
        DeCAFTransformer(layer=7, weights=name, n_jobs=1), batch_size=8, n_repeats=3
    )
plt.show()

# %%
# The same as tables, with the arithmetic of each kind of layer and its speed. Operations are
# counted as the layers are defined; the engine needs fewer for most convolutions (Winograd's
# algorithm), so the speed can be more than the machine's own.

for name, display in displays.items():
    frame = display.times.to_frame(by_type=True)
    frame.insert(1, "ms", 1000 * frame.pop("seconds"))
    print(f"{name}:\n{frame.round(2)}\n")

# %%
# By kind of layer
# ----------------

figure, axes = plt.subplots(2, 1, figsize=(8, 5), layout="constrained")
for axis, (name, display) in zip(axes, displays.items()):
    display.plot(ax=axis, kind="type")
    axis.set_title(name)
plt.show()
