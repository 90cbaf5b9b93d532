"""Shrinking a picture by averages over whole pixels, as the detector's nets were trained to see it.

Output pixel i of `size` covers the input pixels floor(i * length / size) up to, not including,
ceil((i + 1) * length / size), so neighbours may share a row or a column. A table of sums, made
once a picture, gives every such mean by four look-ups: each level of the pyramid and each crop of
the second and third net are read from the one table.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from models.arrays import Floats, Picture

Indices = NDArray[np.intp]


@dataclass(frozen=True)
class AreaTable:
    """Sums over a picture: `sums[y, x]` is the sum of all pixels above row y, left of column x.

    sums: (H + 1, W + 1, 4) int32; red, green, blue and a filler, because entries of 16 bytes are
        gathered about a third faster than of 12. Sums of large bright pictures wrap around, which
        does no harm: differences are taken in the same arithmetic, and what one output pixel
        covers adds up to little.
    """

    sums: NDArray[np.int32]

    @classmethod
    def of(cls, picture: Picture) -> "AreaTable":
        """Build the table of a (H, W, 3) uint8 picture, H and W at least 1."""
        padded = cv2.cvtColor(picture, cv2.COLOR_RGB2RGBA)
        return cls(np.asarray(cv2.integral(padded, sdepth=cv2.CV_32S), np.int32))

    @property
    def height(self) -> int:
        return int(self.sums.shape[0]) - 1

    @property
    def width(self) -> int:
        return int(self.sums.shape[1]) - 1

    def levels(self, sizes: Sequence[tuple[int, int]]) -> Iterator[Floats]:
        """The whole picture at other sizes.

        Args:
            sizes: rows and columns of each level.

        Yields:
            (1, 3, rows, columns) float32 means in 0-255; red, green, blue.
        """
        # All levels' spans are computed together: one by one, numpy's calls would cost more than
        # the sums.
        rows, columns = np.array(sizes).reshape(-1, 2).T
        spans = zip(_level_spans(self.height, rows), _level_spans(self.width, columns), strict=True)
        for (top, bottom, by_row), (left, right, by_column) in spans:
            bands = self.sums.take(bottom, axis=0)
            bands -= self.sums.take(top, axis=0)
            sums = bands.take(right, axis=1)
            sums -= bands.take(left, axis=1)
            yield _means(sums.transpose(2, 0, 1)[None, :3], by_row[:, None] * by_column)

    def crops(self, boxes: Indices, side: int) -> Floats:
        """Parts of the picture, each as a square.

        Args:
            boxes: (n, 4) x1, y1, x2, y2 in pixels, inside the picture; column x2 and row y2 are
                the first ones outside the crop, x2 > x1 and y2 > y1.
            side: pixels of a crop's side.

        Returns:
            (n, 3, side, side) float32 means in 0-255; red, green, blue.
        """
        lengths = boxes[:, 2:, None] - boxes[:, :2, None]
        first, after = _spans(np.arange(side), lengths, side)  # each (n, 2, side): x, then y
        by_pixel = np.reciprocal((after - first).astype(np.float32))
        weights = by_pixel[:, 1:, :, None] * by_pixel[:, :1, None, :]
        first += boxes[:, :2, None]
        after += boxes[:, :2, None]
        left, right = first[:, 0, None, :], after[:, 0, None, :]
        # Rows as offsets into the table with its rows one after another.
        top, bottom = (ends[:, 1, :, None] * self.sums.shape[1] for ends in (first, after))
        table = self.sums.reshape(-1, self.sums.shape[2])
        sums = table.take(bottom + right, axis=0)
        sums -= table.take(bottom + left, axis=0)
        sums -= table.take(top + right, axis=0)
        sums += table.take(top + left, axis=0)
        return _means(sums.transpose(0, 3, 1, 2)[:, :3], weights)


def _spans(
    position: Indices, length: Indices | int, size: Indices | int
) -> tuple[Indices, Indices]:
    """First input pixel of each output pixel `position` of `size`, and the first one after it."""
    return position * length // size, -(-(position + 1) * length // size)


def _level_spans(length: int, sizes: Indices) -> Iterator[tuple[Indices, Indices, Floats]]:
    """For each of several sizes: its pixels' spans on an axis, and 1 / (pixels in each)."""
    ends = np.cumsum(sizes)
    size = np.repeat(sizes, sizes)
    position = np.arange(len(size)) - np.repeat(ends - sizes, sizes)
    first, after = _spans(position, length, size)
    by_pixel = np.reciprocal((after - first).astype(np.float32))
    for start, end in zip(ends - sizes, ends, strict=True):
        yield first[start:end], after[start:end], by_pixel[start:end]


def _means(sums: NDArray[np.int32], weights: Floats) -> Floats:
    """(n, 3, rows, columns) sums * weights, written once and in this order.

    For these two types numpy would go through float64.
    """
    means = np.empty(sums.shape, np.float32)
    np.multiply(sums, weights, out=means, dtype=np.float32, casting="unsafe")
    return means
