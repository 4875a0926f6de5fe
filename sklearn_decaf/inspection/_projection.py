"""Projection of features to the plane, by principal components and t-SNE."""

from __future__ import annotations

import numpy as np
from sklearn import config_context
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.utils import check_array

_PCA_COMPONENTS = 50  # before t-SNE


def check_features(features) -> np.ndarray:
    """Convert features to an array; raise a ValueError that names a row of NaN or infinity."""
    features = check_array(
        features, order="C", ensure_min_samples=3, ensure_all_finite=False, input_name="features"
    )
    bad = np.flatnonzero(~np.isfinite(features).all(axis=1))
    if len(bad):
        raise ValueError(
            f"{len(bad)} of {len(features)} rows of features are NaN or infinite, the first is row "
            f"{bad[0]}: leave out the images that could not be read."
        )
    return features


def embed(features: np.ndarray, embedder, random_state) -> np.ndarray:
    """Compute coordinates in the plane: (n, 2) from (n, d), by t-SNE if `embedder` is None."""
    # Frames, whose columns lie one after another, are summed up in another order, and t-SNE makes
    # much of the last digits.
    with config_context(transform_output="default"):
        if embedder is not None:
            return np.asarray(clone(embedder).fit_transform(features))
        n, width = features.shape
        components = min(_PCA_COMPONENTS, n)
        if width > components:
            # as van der Maaten and Hinton (2008) do before t-SNE: less noise, and faster
            features = PCA(components, random_state=random_state).fit_transform(features)
        t_sne = TSNE(perplexity=min(30.0, (n - 1) / 3), init="pca", random_state=random_state)
        return t_sne.fit_transform(features)
