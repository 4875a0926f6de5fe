"""The sizes at which the engine changes its way of working."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Limits:
    """Sizes that decide how the work is cut, measured on the processors of today.

    The first ten change how fast a network is, and no bit of its features. The last four choose
    between ways of computing that round differently.

    Parameters
    ----------
    small_map : int
        A chain of steps ends at maps of fewer bytes: they stay in the cache as a whole.
    strip_bytes : int
        Bytes that the strips of a chain's maps take together, at most: about half of a level 2
        cache.
    chain_weights : int
        Bytes of a chain's weights that stay in the cache from strip to strip. Larger ones are read
        again for each strip, which may cost more than to cut the chain.
    window_share : float
        Keeping a window of a map's rows that is a larger share of them is not worth its moves.
    tile_bytes : int
        Bytes of Winograd tiles and their products that are worked on at a time: about half of a
        level 2 cache.
    product_rows : int
        Rows of a product over copied patches, which are multiplied while they are in the cache.
    many_weights : int
        Weights of fewer bytes stay in the cache from image to image.
    weight_cost : int
        What reading weights costs, in multiples of reading as many numbers of maps.
    group_size : int
        Images that the grouped stage computes together, at most.
    images_together : bool
        Whether the Winograd tiles of several images are always multiplied together, not only where
        the weights are large.
    winograd_min_channels : int
        With fewer channels Winograd's transforms cost more than the products they save.
    winograd_weights : int
        Bytes of transformed weights for each tile of an image, at most: to read more of them from
        memory takes longer than the products that they save.
    smaller_tile_cost : float
        How many times the fewest multiplications a smaller Winograd tile, which rounds less, may
        take.
    dense_depth : int
        Inputs of a fully connected layer that are summed up at a time: sums of sums round less
        than one long sum, and the weights for them stay in the cache.
    """

    small_map: int = 600 * 1024
    strip_bytes: int = 512 * 1024
    chain_weights: int = 256 * 1024
    window_share: float = 0.75
    tile_bytes: int = 512 * 1024
    product_rows: int = 1024
    many_weights: int = 512 * 1024
    weight_cost: int = 1
    group_size: int = 8
    images_together: bool = True
    winograd_min_channels: int = 8
    winograd_weights: int = 6 * 1024 * 1024
    smaller_tile_cost: float = 1.25
    dense_depth: int = 1024

    def for_parts(self, n_parts: int) -> Limits:
        """Return the limits for steps that so many threads share: each part has its own cache."""
        return replace(
            self, small_map=self.small_map * n_parts, strip_bytes=self.strip_bytes * n_parts
        )
