"""3x3 convolutions on a CPU with a quarter to a half of the multiplications, after Winograd.

A tile of MxM results depends on a patch of (M+2)x(M+2) pixels. Filter and pixels are taken for polynomials, known by
their values at M+2 points: those multiply point by point. That is 16 products for four results with M=2, and 36 for
sixteen with M=4, where the definition has 36 and 144 (Lavin and Gray, "Fast Algorithms for Convolutional Neural
Networks", 2016). The points decide the rounding: with those below it is that of the plain sum; with the usual 0, +-1,
+-2 and M=4 it would be five times as large.
"""

import math
from functools import cache, partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.fast.recast import recast, replace_where
from model.layers.blocks import ResidualBlock

KERNEL = 3
# Besides infinity, for tiles of M=2 and M=4.
POINTS = {2: (0.0, 1.0, -1.0), 4: (0.0, math.sqrt(0.5), -math.sqrt(0.5), math.sqrt(2.0), -math.sqrt(2.0))}
NARROWEST = 256  # channels, in and out: below, the transforms cost about what they save
# In times out: from here M=2, whose filters take 1.8 times the weight's memory; those of M=4 take four times.
WIDE = 512 * 256
_BAND = 4  # how often pixels are transformed between two readings of the filters


def transform_for_good(module: nn.Module, spared: tuple[type[nn.Module], ...] = ()) -> None:
    """Replace the convolutions that are faster so by `WinogradConv`, in place, for inference in fp32 on a CPU.

    Those of `spared` modules stay.
    """
    replace_where(module, _pays, WinogradConv, spared)
    replace_where(module, _has_both, partial(recast, kind=WinogradBlock))


def _has_both(block: nn.Module) -> bool:
    return type(block) is ResidualBlock and all(isinstance(x, WinogradConv) for x in (block.conv1, block.conv2))


def _pays(conv: nn.Module) -> bool:
    return (
        type(conv) is nn.Conv2d
        and conv.kernel_size == (KERNEL, KERNEL)
        and conv.stride == conv.padding == conv.dilation == (1, 1)
        and conv.groups == 1
        and min(conv.in_channels, conv.out_channels) >= NARROWEST
    )


class WinogradConv(nn.Module):
    """A 3x3 convolution of stride 1 that keeps the size; it holds transformed filters in its weight's place."""

    def __init__(self, conv: nn.Conv2d) -> None:
        """Transform a convolution's weight."""
        super().__init__()
        self.tile = 2 if conv.in_channels * conv.out_channels >= WIDE else 4
        self.filters = transform_filters(conv.weight.detach(), self.tile)
        self.bias = None if conv.bias is None else conv.bias.detach()

    def forward(self, x: Tensor, *, relu: bool = False, shortcut: Tensor | None = None) -> Tensor:
        """Convolve [N,C,H,W]; see `convolve`."""
        return convolve(x, self.filters, self.bias, relu=relu, shortcut=shortcut)


class WinogradBlock(ResidualBlock):
    """A `ResidualBlock` of such convolutions, which overwrites its input: fewer maps are in memory at a time."""

    conv1: WinogradConv  # type: ignore[assignment]
    conv2: WinogradConv  # type: ignore[assignment]

    def forward(self, x: Tensor) -> Tensor:
        """Map [N,C,H,W] to [N,C',H,W]."""
        out = self.conv1(x, relu=True)
        return self.conv2(out, relu=True, shortcut=x if self.downsample is None else self.downsample(x))


@cache
def transforms(tile: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the matrices of one dimension in fp64: of filters [P,3], of pixels [P,P] and back [M,P], P = M+2."""
    points = torch.tensor(POINTS[tile], dtype=torch.float64)
    patch = tile + KERNEL - 1
    filters, pixels, back = (points.new_zeros(shape) for shape in ((patch, KERNEL), (patch, patch), (tile, patch)))
    for i, point in enumerate(points):
        others = torch.cat([points[:i], points[i + 1 :]])
        filters[i] = point ** torch.arange(KERNEL) / (point - others).prod()
        pixels[i, : patch - 1] = _coefficients(others)
        back[:, i] = point ** torch.arange(tile)
    filters[-1, -1] = back[-1, -1] = 1.0
    pixels[-1] = _coefficients(points)
    return filters, pixels, back


def _coefficients(roots: Tensor) -> Tensor:
    """Return the coefficients of the product of all x - root, the lowest power first."""
    product = roots.new_ones(1)
    for root in roots:
        product = F.pad(product, (1, 0)) - root * F.pad(product, (0, 1))
    return product


def transform_filters(weight: Tensor, tile: int) -> Tensor:
    """Transform a weight [C',C,3,3] to values [P*P,C,C'] at the points."""
    there = transforms(tile)[0]
    both = torch.kron(there, there)
    values = weight.new_empty(both.shape[0], weight.shape[1], weight.shape[0], dtype=torch.float32)
    for i, own in enumerate(weight):  # one by one: in fp64, all would take eight times the memory of the weight
        values[:, :, i] = both @ own.flatten(1).T.double()
    return values


def convolve(
    x: Tensor, filters: Tensor, bias: Tensor | None, *, relu: bool = False, shortcut: Tensor | None = None
) -> Tensor:
    """Convolve [N,C,H,W] in fp32 with transformed filters [P*P,C,C'], padded by a pixel of zeros.

    With `relu` the negative values of x count as 0. A `shortcut` [N,C',H,W] is added, and may be overwritten. The
    result is channels-last.
    """
    count, channels, height, width = x.shape
    points, _, wide = filters.shape
    tile = math.isqrt(points) - KERNEL + 1
    there, back = (torch.kron(one, one).float() for one in transforms(tile)[1:])
    down, across = -(-height // tile), -(-width // tile)  # tiles
    # Rows of tiles that are transformed at a time, and stay in the caches; and that are multiplied at a time.
    step = min(torch.get_num_threads() * 4 // tile, down)
    band = min(_BAND * step, down)
    strip = _Strip(x, tile, step, across, relu)
    before, after = x.new_empty(points, step * across * channels), x.new_empty(tile**2, step * across * wide)
    values, products = x.new_empty(points, band * across, channels), x.new_empty(points, band * across, wide)
    in_place = shortcut is not None and (height, width) == (tile * down, tile * across)
    if shortcut is not None and in_place:
        out = shortcut.permute(0, 2, 3, 1)
    else:
        out = x.new_empty(count, tile * down, tile * across, wide)
    for image, own in zip(x, out, strict=True):
        tiles = own.view(down, tile, across, tile, wide).permute(1, 3, 0, 2, 4)
        for top in range(0, down, band):
            rows = min(band, down - top)
            parts = [(first, min(step, rows - first)) for first in range(0, rows, step)]
            for first, size in parts:
                patches = strip.patches(image, top + first, size)
                near = before[:, : size * across * channels]
                near.view(patches.shape).copy_(patches)
                torch.mm(there, near, out=values[:, first * across : (first + size) * across].flatten(1))
            torch.bmm(values[:, : rows * across], filters, out=products[:, : rows * across])
            for first, size in parts:
                near = after[:, : size * across * wide]
                torch.mm(back, products[:, first * across : (first + size) * across].flatten(1), out=near)
                result = near.view(tile, tile, size, across, wide)
                if bias is not None:
                    result += bias
                place = tiles[:, :, top + first : top + first + size]
                torch.add(place, result, out=place) if in_place else place.copy_(result)
    done = out[:, :height, :width].contiguous().permute(0, 3, 1, 2)
    return done if shortcut is None or in_place else done.add_(shortcut)


class _Strip:
    """Rows of an image with a border of zeros, as the patches that tiles depend on."""

    def __init__(self, x: Tensor, tile: int, rows: int, across: int, relu: bool) -> None:
        """Prepare for images as in x [N,C,H,W], of which up to `rows` rows of tiles, `across` wide, are asked for."""
        self._pixels = x.new_zeros(tile * rows + 2, tile * across + 2, x.shape[1])
        self._tile, self._across = tile, across
        self._least = 0.0 if relu else -math.inf

    def patches(self, image_CHW: Tensor, top: int, rows: int) -> Tensor:
        """Return the patches [P,P,rows,across,C] of some rows of tiles, until the next call."""
        channels, height, width = image_CHW.shape
        tile = self._tile
        first, last = tile * top - 1, tile * (top + rows) + 1  # pixels
        inside = slice(max(first, 0), min(last, height))
        strip = self._pixels[: last - first]
        strip[: inside.start - first] = 0.0
        strip[inside.stop - first :] = 0.0
        pixels = strip[inside.start - first : inside.stop - first, 1 : width + 1]
        torch.clamp_min(image_CHW[:, inside].permute(1, 2, 0), self._least, out=pixels)
        line, column, _ = strip.stride()
        shape = (tile + KERNEL - 1, tile + KERNEL - 1, rows, self._across, channels)
        return strip.as_strided(shape, (line, column, tile * line, tile * column, 1))
