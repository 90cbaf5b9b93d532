"""The model work of a change: the kept picture of a sample -> its templates by another embedder."""

import hashlib

import numpy as np

from models.arrays import Floats
from models.decode import PictureRefused
from models.degrade import degraded_copies
from models.embed import embed
from models.identifier import FoundFaces, QueryPath, find_faces

SAME_FACE = 0.7
"""Least cosine of a sample's template with the same face found again. It is 1 but for what nets and
settings have changed since; other people of a picture are far below."""

NamedTemplates = list[tuple[str | None, Floats]]
"""The sample's own template, (d,), under None, then its variants' by their kinds."""


def reembed(
    picture: bytes, template: Floats, *, variants: int, old: QueryPath, new: QueryPath
) -> NamedTemplates | None:
    """Make the templates of an enrolled face by another embedder.

    Args:
        picture: that it was enrolled with.
        template: (d,) of it, by the old embedder: says which face of several was meant.
        variants: how many degraded copies to make templates of.
        old: query path of the collection's embedder.
        new: query path of the other one, with the same detector.

    Returns:
        None if the face is not found again, as after the detector's settings were changed.
    """
    try:
        found = find_faces(new, picture)
        face = _find_again(found, picture, template, old)
    except PictureRefused:
        return None
    if face is None:
        return None
    # Seeded as at the enrolment (app/subjects/pictures.py).
    seed = int.from_bytes(hashlib.sha256(picture).digest()[:8], "little")
    copies = degraded_copies(found.crops[face], variants, np.random.default_rng(seed))
    crops = np.stack([found.crops[face], *(copy.crop for copy in copies)])
    kinds = [None, *(copy.kind for copy in copies)]
    return list(zip(kinds, embed(new.embedder, crops), strict=True))


def _find_again(found: FoundFaces, picture: bytes, template: Floats, old: QueryPath) -> int | None:
    """Index of the enrolled face among those of the picture; None if none is like it."""
    if len(found) == 1:
        return 0
    if len(found) == 0:
        return None
    # The same detector finds the same faces in the same order; only the crops are others.
    cosines = embed(old.embedder, find_faces(old, picture).crops) @ template
    best = int(np.argmax(cosines))
    return best if cosines[best] >= SAME_FACE else None
