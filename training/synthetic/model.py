"""Synthetic embedding stores of any size, fitted on a real one: to study scale, and marked so.

The model. A class has a spread s, lognormal with E[s^2] = 1, and a centre in the direction of a
draw from N(m, B), of length sqrt(1 - s^2 tr W): the length that a mean of unit vectors of that
spread has. A sample is centre + s t sqrt(d) W^(1/2) u, brought to unit length, with u uniform on
the sphere and t, E[t^2] = 1, from the real samples' radii: that is where heavy tails come from.
m and B are mean and covariance of the class means, B less the noise of means of few samples; W is
the mean over classes of the covariance within. Not in the model: groups of classes beyond what a
covariance says, classes with a shape of their own, and quality, which is 1 for all.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from models.arrays import Floats
from training.stores.format import EmbedderIdentity, Kind
from training.stores.store import EmbeddingStore
from training.stores.writer import Batch, StoreWriter

Doubles = NDArray[np.float64]

RADIAL_SAMPLES = 5
"""Fewest samples of a class whose radii are looked at: around the mean of two, both radii are
equal whatever the tails."""
QUANTILES = 1_001
"""Points of the radial distribution."""
EIGENVALUE_FLOOR = 1e-3
"""Of W, as a share of their mean: below it a direction was hardly seen, and whitening by what was
would make radii of noise."""
SMALLEST_RADIUS = 0.01
"""Of a typical one; a picture that is there twice would else have the logarithm of zero."""
LARGEST_SPREAD = 0.9
"""Share of a sample's squared length that its class's spread may take."""
CLASSES_A_BATCH = 2_000


@dataclass(frozen=True, eq=False)
class SyntheticModel:
    """What is needed to draw."""

    embedder: EmbedderIdentity
    mean: Doubles
    """(d,) m."""
    between_root: Doubles
    """(d, d) symmetric root of B."""
    within_root: Doubles
    """(d, d) symmetric root of W."""
    log_spread_deviation: float
    """Standard deviation of log s over classes."""
    radii: Doubles
    """(`QUANTILES`,) ascending quantiles of t, evenly spaced."""

    @classmethod
    def fit(cls, store: EmbeddingStore) -> Self:
        """Fit on the original vectors of a real store.

        Raises:
            ValueError: the store is synthetic itself, or too small: it needs two classes of
                `RADIAL_SAMPLES` original pictures, and those must differ.
        """
        if store.manifest.synthetic:
            raise ValueError(f"{store.folder}: is synthetic; fit on a store of real pictures")
        rows = np.flatnonzero(store.originals)
        vectors, labels = store.vectors[rows].astype(np.float64), store.labels[rows]
        counts = np.bincount(labels)
        if (counts >= RADIAL_SAMPLES).sum() < 2:
            raise ValueError(
                f"{store.folder}: needs two subjects of {RADIAL_SAMPLES} original pictures or more"
            )
        means = np.zeros((len(counts), store.dimension))
        np.add.at(means, labels, vectors)
        means /= counts[:, None]
        # Each class weighs the same, however many pictures it has; n / (n - 1) for its own mean.
        several = counts >= 2
        shares = 1 / np.maximum(counts - 1, 1) / several.sum()
        residuals = vectors - means[labels]
        within = (residuals * shares[labels][:, None]).T @ residuals
        if not np.trace(within) > 0:
            raise ValueError(f"{store.folder}: the pictures of each subject are all the same")
        within_root = _root(within, EIGENVALUE_FLOOR)
        between = np.cov(means.T) - within * (1 / counts).mean()
        many = (counts >= RADIAL_SAMPLES)[labels]
        factors = np.sqrt(counts / np.maximum(counts - 1, 1))[labels[many]]
        whitened = np.linalg.solve(within_root, residuals[many].T).T
        typical = np.sqrt(store.dimension)
        radii = np.linalg.norm(whitened, axis=1) * factors / typical
        deviation, quantiles = _radial(np.maximum(radii, SMALLEST_RADIUS), labels[many])
        return cls(
            embedder=store.manifest.embedder,
            mean=means.mean(axis=0),
            between_root=_root(between, 0),
            within_root=within_root,
            log_spread_deviation=deviation,
            radii=quantiles,
        )

    def draw(self, classes: int, samples: int, rng: np.random.Generator) -> Floats:
        """Draw templates.

        Args:
            classes: n.
            samples: k of each class.
            rng: draws.

        Returns:
            (n, k, d) unit vectors.
        """
        dimension, deviation = len(self.mean), self.log_spread_deviation
        spreads = np.exp(deviation * rng.standard_normal(classes) - deviation**2)
        taken = np.square(self.within_root).sum() * spreads**2
        spreads *= np.sqrt(np.minimum(1, LARGEST_SPREAD / taken))
        centres = self.mean + rng.standard_normal((classes, dimension)) @ self.between_root
        centres = _unit(centres) * np.sqrt(1 - np.minimum(taken, LARGEST_SPREAD))[:, None]
        directions = _unit(rng.standard_normal((classes, samples, dimension)))
        places = rng.uniform(0, QUANTILES - 1, (classes, samples))
        scales = spreads[:, None] * np.interp(places, np.arange(QUANTILES), self.radii)
        residuals = directions @ self.within_root * (scales * np.sqrt(dimension))[:, :, None]
        return _unit(centres[:, None] + residuals).astype(np.float32)

    def digest(self) -> str:
        """SHA-256 of all that decides a draw."""
        digest = hashlib.sha256(repr(self.log_spread_deviation).encode())
        for array in (self.mean, self.between_root, self.within_root, self.radii):
            digest.update(array.tobytes())
        return digest.hexdigest()


def draw_store(
    model: SyntheticModel, folder: Path, *, classes: int, samples: int, seed: int
) -> EmbeddingStore:
    """Write a synthetic store; after a kill the same call goes on, with the same bytes in the end.

    Args:
        model: to be drawn from.
        folder: where the store will be.
        classes: N, at least 1.
        samples: original vectors of each class, at least 1.
        seed: of the draws.

    Raises:
        StoreInvalid: what was begun there was another draw.
        FileExistsError: something is there already.
    """
    if min(classes, samples) < 1:
        raise ValueError(f"{classes} classes of {samples} samples")
    plan = {"model": model.digest(), "classes": classes, "samples": samples, "seed": seed}
    writer = StoreWriter(
        folder,
        embedder=model.embedder,
        dimension=len(model.mean),
        synthetic=True,
        plan=json.dumps(plan | {"batch": CLASSES_A_BATCH}),
    )
    for number in range(len(writer), -(-classes // CLASSES_A_BATCH)):
        first = number * CLASSES_A_BATCH
        last = min(first + CLASSES_A_BATCH, classes)
        # A generator of its own for each batch: a batch does not depend on those before it.
        vectors = model.draw(last - first, samples, np.random.default_rng([seed, number]))
        rows = (last - first) * samples
        writer.append(
            Batch(
                subject_ids=[
                    f"synthetic-{n:07}" for n in range(first, last) for _ in range(samples)
                ],
                vectors=vectors.reshape(rows, -1),
                kinds=np.full(rows, Kind.ORIGINAL, np.uint8),
                sources=np.arange(first * samples, last * samples, dtype=np.int32),
                quality=np.ones(rows, np.float32),
            )
        )
    writer.finish()
    return EmbeddingStore.open(folder)


def _radial(radii: Doubles, labels: NDArray[np.int32]) -> tuple[float, Doubles]:
    """Tell the spread of classes from the tails within them: variance components of log radius.

    Args:
        radii: (n,) above 0.
        labels: (n,) class of each; every class has several.

    Returns:
        The deviation of log s, and (`QUANTILES`,) quantiles of t with mean square 1.
    """
    _, own, counts = np.unique(labels, return_inverse=True, return_counts=True)
    logs = np.log(radii)
    means = np.bincount(own, logs) / counts
    deviations = (logs - means[own]) * np.sqrt(counts / (counts - 1))[own]
    noise = np.square(deviations).mean() * (1 / counts).mean()
    between = max(float(means.var(ddof=1) - noise), 0.0)
    quantiles = np.exp(np.quantile(deviations, np.linspace(0, 1, QUANTILES)))
    return between**0.5, quantiles / np.sqrt(np.square(quantiles).mean())


def _root(covariance: Doubles, floor: float) -> Doubles:
    """Symmetric root; eigenvalues below `floor` of their mean are raised to that."""
    values, axes = np.linalg.eigh(covariance)
    root: Doubles = (axes * np.sqrt(np.maximum(values, floor * values.mean()))) @ axes.T
    return root


def _unit(vectors: Doubles) -> Doubles:
    unit: Doubles = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    return unit
