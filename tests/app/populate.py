"""Fill a collection through its tables, with templates that are drawn: no picture is needed."""

from uuid import UUID, uuid5

import numpy as np
import psycopg

from models.arrays import Floats
from vault.vault import Vault

NAMESPACE = UUID("9d6c2c3e-7d5f-4a3c-9a53-0d0f6f8f2b11")
SPREAD = 0.6
"""Length of what is added to a subject's direction: samples of one have a cosine of about 0.74."""


def drawn_templates(subjects: int, samples: int, *, dimension: int, seed: int) -> Floats:
    """(N, s, d) unit templates of made-up subjects."""
    random = np.random.default_rng(seed)
    means = random.normal(size=(subjects, 1, dimension))
    means /= np.linalg.norm(means, axis=2, keepdims=True)
    noise = random.normal(size=(subjects, samples, dimension)) * SPREAD / np.sqrt(dimension)
    rows = means + noise
    unit: Floats = (rows / np.linalg.norm(rows, axis=2, keepdims=True)).astype("<f4")
    return unit


def populate(
    database_url: str,
    vault: Vault,
    *,
    subjects: int,
    samples: int,
    dimension: int,
    collection: str = "default",
    seed: int = 0,
) -> list[UUID]:
    """Enrol made-up subjects, each by a change of its own; a running service sees them soon.

    Returns:
        Their ids.
    """
    templates = drawn_templates(subjects, samples, dimension=dimension, seed=seed)
    ids = [uuid5(NAMESPACE, f"{collection} {seed} {number}") for number in range(subjects)]
    with psycopg.connect(database_url) as connection, connection.cursor() as cursor:
        row = cursor.execute(
            "SELECT id, revision FROM collections WHERE name = %s FOR UPDATE", [collection]
        ).fetchone()
        assert row is not None
        collection_id, revision = row
        for number, subject_id in enumerate(ids):
            cursor.execute(
                "INSERT INTO subjects (id, collection_id, name, metadata)"
                " VALUES (%s, %s, %s, '{}')",
                [subject_id, collection_id, f"subject {seed}-{number}"],
            )
            cursor.execute(
                "INSERT INTO changes (collection_id, revision, subject_id, kind)"
                " VALUES (%s, %s, %s, 'subject_enrolled')",
                [collection_id, revision + number + 1, subject_id],
            )
            cursor.executemany(
                "INSERT INTO samples (id, subject_id, template, picture_sha256, quality_score,"
                " quality_reasons) VALUES (%s, %s, %s, %s, 0.9, '{}')",
                [
                    [
                        uuid5(subject_id, str(place)),
                        subject_id,
                        vault.seal(each.tobytes(), purpose="sample", owner=subject_id),
                        bytes([place]),
                    ]
                    for place, each in enumerate(templates[number])
                ],
            )
        cursor.execute(
            "UPDATE collections SET revision = %s WHERE id = %s",
            [revision + subjects, collection_id],
        )
    return ids
