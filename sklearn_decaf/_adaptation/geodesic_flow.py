"""The geodesic flow kernel of two subspaces, in closed form (Gong et al. 2012).

Between the source subspace P and the target subspace Q runs a geodesic Phi(t), 0 <= t <= 1. A row
x is projected on all of it, and the inner product of these infinitely long vectors is

    x' G z,    G = integral of Phi(t) Phi(t)' over t.

With P'Q = U cos(theta) V' and the directions R that lead from P to Q at right angles to P,

    Phi(t) = P U cos(t theta) + R sin(t theta),

so G is made of one 2 x 2 block per principal angle, in the plane of a column of P U and one of R.
Its square root is too, and all of it has rank 2 d: no n_features x n_features matrix is needed.
"""

from __future__ import annotations

import numpy as np
from scipy import linalg


def principal_planes(source, target):
    """Find the principal angles, and an orthonormal pair of directions for the plane of each.

    Parameters
    ----------
    source, target : ndarray of shape (n_features, d)
        Orthonormal bases.

    Returns
    -------
    angles : ndarray of shape (d,)
        Principal angles in [0, pi / 2], increasing.
    along, across : ndarray of shape (n_features, d)
        Directions in the source subspace, and the directions at right angles to it that lead to
        the target's; a column of `across` is zero where the angle is.
    """
    left, cosines, right = linalg.svd(source.T @ target, full_matrices=False)
    along = source @ left
    # What the source subspace misses of the target's directions has the sines as its lengths.
    rest = target @ right.T - along * cosines
    rest -= source @ (source.T @ rest)
    sines = linalg.norm(rest, axis=0)
    across = rest / np.where(sines > 0, sines, 1.0)
    # Where angles are small the cosines are all near 1 and do not tell the directions apart. The
    # sines do: there the directions are the singular vectors of what is missed.
    near = cosines > np.sqrt(0.5)
    if near.any():
        across[:, near], sines[near], turn = linalg.svd(rest[:, near], full_matrices=False)
        projected = (along * cosines)[:, near] @ turn.T
        cosines[near] = linalg.norm(projected, axis=0)
        along[:, near] = projected / cosines[near]
    moving = sines > np.finfo(float).eps * len(source)
    angles = np.where(moving, np.arctan2(sines, cosines), 0.0)
    order = np.argsort(angles, kind="stable")
    return angles[order], along[:, order], np.where(moving, across, 0.0)[:, order]


def _one_minus_sinc(t):
    """1 - sin(t) / t, to full relative precision for t near 0 too."""
    small = np.abs(t) < 0.5
    s = np.where(small, t, 0.0) ** 2
    series = s / 6 * (1 - s / 20 * (1 - s / 42 * (1 - s / 72 * (1 - s / 110 * (1 - s / 156)))))
    large = np.where(small, 1.0, t)
    return np.where(small, series, 1 - np.sin(large) / large)


def flow_moments(angles):
    """Integrate cos^2, cos sin and sin^2 of t theta over t in [0, 1]."""
    t = 2 * angles
    small = _one_minus_sinc(t) / 2  # of sin^2
    half = np.where(angles > 0, angles, 1.0)
    # sin(theta)^2 / (2 theta) instead of (1 - cos(2 theta)) / (4 theta), which cancels
    cross = np.where(angles > 0, np.sin(half) * (np.sin(half) / half) / 2, 0.0)
    return 1 - small, cross, small


def flow_components(source, target):
    """Find rows F with G = F'F, that is x' G z = (F x)'(F z), and the principal angles.

    F x are the coordinates of G^(1/2) x in the planes of the principal angles.

    Returns
    -------
    components : ndarray of shape (2 d, n_features)
        First the d rows along the source subspace, then the d rows across.
    angles : ndarray of shape (d,)
        The principal angles, in radians.
    """
    angles, along, across = principal_planes(source, target)
    a, b, c = flow_moments(angles)  # each block is [[a, b], [b, c]]
    determinant = np.sqrt(np.maximum(a * c - b * b, 0.0))
    scale = np.sqrt(a + c + 2 * determinant)
    root = (a + determinant) / scale, b / scale, (c + determinant) / scale
    components = np.concatenate(
        [(root[0] * along + root[1] * across).T, (root[1] * along + root[2] * across).T]
    )
    return components, angles
