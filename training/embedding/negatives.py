"""Hard negatives: templates that a person has said are not of the subject that was named.

They stand beside the store, for they belong to nobody in it: nothing is enrolled, averaged or
tested with them.
"""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from models.arrays import Floats
from training.stores.shards import write_whole

NEGATIVES = "negatives.npz"
"""Beside the store, where there are any."""


@dataclass(frozen=True, eq=False)
class Negatives:
    """q pairs of a template and the subject that it is not of; q may be 0."""

    templates: Floats
    """(q, d) unit rows."""
    subject_ids: NDArray[np.str_]
    """(q,)"""

    @classmethod
    def none(cls, dimension: int) -> Self:
        return cls(np.empty((0, dimension), np.float32), np.empty(0, np.str_))

    @classmethod
    def read(cls, path: Path, dimension: int) -> Self:
        """Read what `write` wrote; none where there is no file."""
        if not path.is_file():
            return cls.none(dimension)
        with np.load(path, allow_pickle=False) as arrays:
            return cls(arrays["templates"], arrays["subject_ids"])

    def write(self, path: Path) -> None:
        """Write them, whole."""
        file = io.BytesIO()
        np.savez(file, templates=self.templates, subject_ids=self.subject_ids)
        write_whole(path, file.getvalue())

    def __len__(self) -> int:
        return len(self.subject_ids)

    def labels(self, subject_ids: tuple[str, ...]) -> NDArray[np.int64]:
        """(q,) place of each subject among N; -1 for who is not among them."""
        if not len(self):
            return np.empty(0, np.int64)
        places = {subject: place for place, subject in enumerate(subject_ids)}
        found = [places.get(subject, -1) for subject in self.subject_ids.tolist()]
        return np.array(found, np.int64)
