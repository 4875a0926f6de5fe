"""Inception v3 (Szegedy et al. 2016)."""

from __future__ import annotations

from dataclasses import replace

from ..architecture import Architecture
from ..layers import AveragePool, Concat, MaxPool
from ._builder import SYMMETRIC, Builder

NAMES = ("inception_v3",)


class _Inception(Builder):
    """Adds the modules of the network, each a concatenation of branches."""

    def unit(self, prefix, filters, kernel_size=1, stride=1, *, padding=0, source=""):
        """Append convolution, batch normalisation and ReLU, called `prefix`."""
        return self.conv(
            f"{prefix}.conv",
            filters,
            kernel_size,
            stride,
            padding=padding,
            source=source,
            norm=f"{prefix}.bn",
            epsilon=1e-3,
            activation_name=prefix,
        )

    def chain(self, module: str, source: str, *units) -> str:
        """Append units (name, filters, kernel size, stride) one after another."""
        for i, (name, filters, kernel_size, stride) in enumerate(units):
            sides = kernel_size if isinstance(kernel_size, tuple) else (kernel_size, kernel_size)
            padding = tuple(k // 2 for k in sides) if stride == 1 else 0
            self.unit(
                f"{module}.{name}",
                filters,
                kernel_size,
                stride,
                padding=padding,
                source=source if i == 0 else "",
            )
        return self.last

    def pooled(self, module: str, source: str, filters: int) -> str:
        """Append a branch of average pooling and a 1x1 convolution."""
        pool = self.add(
            AveragePool,
            f"{module}.pool",
            source,
            size=3,
            stride=1,
            padding=1,
            ceil_mode=False,
            count_padding=True,
        )
        return self.chain(module, pool, ("branch_pool", filters, 1, 1))

    def join(self, module: str, *branches: str) -> None:
        """Append the concatenation of the branches, which ends the module."""
        self.add(Concat, module, *branches)
        self.block()


def build(name: str) -> Architecture:
    """Build Inception v3 as torchvision has it, without the auxiliary classifier."""
    net = _Inception()
    net.unit("Conv2d_1a_3x3", 32, 3, 2)
    net.unit("Conv2d_2a_3x3", 32, 3)
    net.unit("Conv2d_2b_3x3", 64, 3, padding=1)
    net.add(MaxPool, "maxpool1", size=3, stride=2, ceil_mode=False)
    net.unit("Conv2d_3b_1x1", 80)
    net.unit("Conv2d_4a_3x3", 192, 3)
    net.add(MaxPool, "maxpool2", size=3, stride=2, ceil_mode=False)
    for module, pooled in (("Mixed_5b", 32), ("Mixed_5c", 64), ("Mixed_5d", 64)):
        _module_a(net, module, pooled)
    _module_b(net, "Mixed_6a")
    for module, width in (("Mixed_6b", 128), ("Mixed_6c", 160), ("Mixed_6d", 160)):
        _module_c(net, module, width)
    _module_c(net, "Mixed_6e", 192)
    _module_d(net, "Mixed_7a")
    for module in ("Mixed_7b", "Mixed_7c"):
        _module_e(net, module)
    net.classifier()
    return net.architecture(name, replace(SYMMETRIC, resize=342, crop=299))


def _module_a(net: _Inception, module: str, pooled: int) -> None:
    x = net.last
    net.join(
        module,
        net.chain(module, x, ("branch1x1", 64, 1, 1)),
        net.chain(module, x, ("branch5x5_1", 48, 1, 1), ("branch5x5_2", 64, 5, 1)),
        net.chain(
            module,
            x,
            ("branch3x3dbl_1", 64, 1, 1),
            ("branch3x3dbl_2", 96, 3, 1),
            ("branch3x3dbl_3", 96, 3, 1),
        ),
        net.pooled(module, x, pooled),
    )


def _module_b(net: _Inception, module: str) -> None:
    x = net.last
    net.join(
        module,
        net.chain(module, x, ("branch3x3", 384, 3, 2)),
        net.chain(
            module,
            x,
            ("branch3x3dbl_1", 64, 1, 1),
            ("branch3x3dbl_2", 96, 3, 1),
            ("branch3x3dbl_3", 96, 3, 2),
        ),
        net.add(MaxPool, f"{module}.pool", x, size=3, stride=2, ceil_mode=False),
    )


def _module_c(net: _Inception, module: str, width: int) -> None:
    x, row, column = net.last, (1, 7), (7, 1)
    net.join(
        module,
        net.chain(module, x, ("branch1x1", 192, 1, 1)),
        net.chain(
            module,
            x,
            ("branch7x7_1", width, 1, 1),
            ("branch7x7_2", width, row, 1),
            ("branch7x7_3", 192, column, 1),
        ),
        net.chain(
            module,
            x,
            ("branch7x7dbl_1", width, 1, 1),
            ("branch7x7dbl_2", width, column, 1),
            ("branch7x7dbl_3", width, row, 1),
            ("branch7x7dbl_4", width, column, 1),
            ("branch7x7dbl_5", 192, row, 1),
        ),
        net.pooled(module, x, 192),
    )


def _module_d(net: _Inception, module: str) -> None:
    x = net.last
    net.join(
        module,
        net.chain(module, x, ("branch3x3_1", 192, 1, 1), ("branch3x3_2", 320, 3, 2)),
        net.chain(
            module,
            x,
            ("branch7x7x3_1", 192, 1, 1),
            ("branch7x7x3_2", 192, (1, 7), 1),
            ("branch7x7x3_3", 192, (7, 1), 1),
            ("branch7x7x3_4", 192, 3, 2),
        ),
        net.add(MaxPool, f"{module}.pool", x, size=3, stride=2, ceil_mode=False),
    )


def _module_e(net: _Inception, module: str) -> None:
    def both(prefix: str, source: str) -> str:
        row = net.chain(module, source, (f"{prefix}a", 384, (1, 3), 1))
        column = net.chain(module, source, (f"{prefix}b", 384, (3, 1), 1))
        return net.add(Concat, f"{module}.{prefix}", row, column)

    x = net.last
    first = net.chain(module, x, ("branch1x1", 320, 1, 1))
    second = both("branch3x3_2", net.chain(module, x, ("branch3x3_1", 384, 1, 1)))
    third = net.chain(module, x, ("branch3x3dbl_1", 448, 1, 1), ("branch3x3dbl_2", 384, 3, 1))
    third = both("branch3x3dbl_3", third)
    net.join(module, first, second, third, net.pooled(module, x, 192))
