"""Faces turned, scaled and shifted so that their landmarks lie where the embedder expects them."""

import cv2
import numpy as np
from numpy.typing import NDArray

from models.arrays import Floats, Picture


def align(picture: Picture, landmarks: Floats, template: Floats, side_px: int) -> NDArray[np.uint8]:
    """Cut every face out of a picture, upright and at the embedder's size.

    Args:
        picture: (H, W, 3).
        landmarks: (n, 5, 2) as (x, y) in pixels of the picture; n may be 0.
        template: (5, 2) as (x, y) in pixels of the crop: where they are to lie.
        side_px: width and height of the crop.

    Returns:
        (n, side_px, side_px, 3) uint8; black where a crop reaches beyond the picture.

    Raises:
        ValueError: the landmarks of a face all lie in one point, or are not finite.
    """
    crops = np.empty((len(landmarks), side_px, side_px, 3), np.uint8)
    for crop, transform in zip(crops, similarities(landmarks, template), strict=True):
        _cut(picture, transform, crop)
    return crops


def _cut(picture: Picture, transform: NDArray[np.float64], crop: NDArray[np.uint8]) -> None:
    """Fill the crop, of which `transform` gives the coordinates from those of the picture."""
    # Interpolation looks at two pixels a direction. Where the face is more than twice as large as
    # the crop it would skip the others, and noise and hair turn to grain (cosine 0.99 to the same
    # face averaged): so the part of the picture around such a face is shrunk first.
    step = int(1 / np.hypot(transform[0, 0], transform[1, 0]) + 1e-3)
    if step > 1:
        picture, transform = _shrunk(picture, transform, len(crop), step)
    cv2.warpAffine(picture, transform, crop.shape[:2], dst=crop, flags=cv2.INTER_LINEAR)


def _shrunk(
    picture: Picture, transform: NDArray[np.float64], side_px: int, step: int
) -> tuple[Picture, NDArray[np.float64]]:
    """The part of a picture that a crop shows, each `step` x `step` pixels averaged to one.

    Returns:
        That part, and the transform from its coordinates to the crop's.
    """
    ends = np.array([[0, side_px, 0, side_px], [0, 0, side_px, side_px], [1, 1, 1, 1]])
    corners = cv2.invertAffineTransform(transform) @ ends  # (2, 4)
    size = np.array(picture.shape[1::-1])
    low = np.floor(corners.min(axis=1) - step).astype(int).clip(0, size - 1)
    high = np.ceil(corners.max(axis=1) + step).astype(int).clip(low + 1, size)
    # Whole blocks, so that all are averaged alike; at the picture's own border, up to step - 1
    # pixels are lost.
    blocks = np.maximum((high - low) // step, 1)
    left, top = low
    right, bottom = low + blocks * step
    part = picture[top:bottom, left:right]
    small = cv2.resize(part, blocks.tolist(), interpolation=cv2.INTER_AREA)
    # Whole coordinates are the centres of pixels, hence the half steps.
    half = (step - 1) / 2
    to_picture = np.array([[step, 0, left + half], [0, step, top + half], [0, 0, 1]])
    return np.asarray(small, np.uint8), transform @ to_picture


def similarities(points: Floats, target: Floats) -> NDArray[np.float64]:
    """Find the rotation, scale and shift that bring each set of points nearest to the target.

    A point (x, y) read as the complex number x + iy is turned and scaled by one factor and moved
    by one shift, so the least-squares fit is a regression with one slope: the covariance of points
    and target over the variance of the points. It never mirrors.

    Args:
        points: (n, k, 2) as (x, y); n may be 0.
        target: (k, 2) as (x, y).

    Returns:
        (n, 2, 3): matrices that map (x, y, 1) to the target's (x, y), with the least sum of
        squared distances.

    Raises:
        ValueError: a set's points all coincide, or are not finite.
    """
    source = points.astype(np.float64) @ (1, 1j)  # (n, k)
    goal = target.astype(np.float64) @ (1, 1j)  # (k,)
    source_middle = source.mean(axis=1)
    centred = source - source_middle[:, None]
    spread = (centred.real**2 + centred.imag**2).sum(axis=1)
    if not np.all((spread > 0) & np.isfinite(spread)):
        raise ValueError("the landmarks of a face coincide or are not finite")
    factor = centred.conj() @ (goal - goal.mean()) / spread  # (n,)
    shift = goal.mean() - factor * source_middle
    rows = (factor.real, -factor.imag, shift.real, factor.imag, factor.real, shift.imag)
    return np.stack(rows, axis=-1).reshape(-1, 2, 3)
