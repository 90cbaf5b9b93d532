"""A collection of synthetic subjects, put straight into the service's tables with its feed."""

from collections.abc import Iterable, Sequence
from uuid import UUID, uuid4

import numpy as np
import psycopg
from psycopg import Connection

from models.arrays import Floats
from training.stores.format import EmbedderIdentity
from training.synthetic.angles import QUANTILES
from training.synthetic.model import SyntheticModel
from vault.vault import Vault

AXES = 64
KINDS = ("low_resolution", "blur", "cover")
"""Of degraded copies: each kind moves templates in a direction of its own, the same for all."""
LEAST_MOVE, LARGEST_MOVE = 0.3, 1.0
"""Length of that move, beside a template's own, 1."""


def likely_model(embedder: EmbedderIdentity, dimension: int) -> SyntheticModel:
    """A model for where no real store is at hand to fit one on: much like the default embedder's.

    Fitted on Labeled Faces in the Wild, that has 64 axes that count, whose deviations fall about
    evenly, to 0.3 of the first between subjects and to 0.6 within, and tails like a logistic
    distribution of scale 0.105.
    """
    axes = np.arange(dimension) < AXES
    falling = np.minimum(np.arange(dimension) / AXES, 1)
    places = (np.arange(QUANTILES) + 0.5) / QUANTILES
    return SyntheticModel(
        embedder=embedder,
        mean=np.zeros(dimension),
        between_root=np.diag(axes * (1 - 0.7 * falling)),
        within_root=np.diag(axes * (1 - 0.4 * falling)),
        typical_angle=0.5,
        log_spread_deviation=0.16,
        tails=0.105 * np.log(places / (1 - places)),
    )


class SyntheticCollection:
    """One collection; every method is one transaction and leaves the feed as the service does."""

    def __init__(
        self, database_url: str, vault: Vault, model: SyntheticModel, *, seed: int
    ) -> None:
        """Make it, empty.

        Args:
            database_url: of a migrated Postgres.
            vault: that templates are sealed by.
            model: that templates are drawn from.
            seed: of the draws.
        """
        self._url = database_url
        self._vault = vault
        self._model = model
        self._rng = np.random.default_rng(seed)
        self._moves = model.draw(len(KINDS), 1, np.random.default_rng([seed, 1]))[:, 0]
        self._spare: dict[UUID, Floats] = {}
        """(s, d) templates of each subject that are not enrolled yet."""
        self.id = uuid4()
        with psycopg.connect(database_url) as connection:
            connection.execute(
                "INSERT INTO collections (id, name, embedder_name, embedder_sha256, revision) "
                "VALUES (%s, %s, %s, %s, 0)",
                [self.id, str(self.id), model.embedder.name, model.embedder.sha256],
            )

    @property
    def subjects(self) -> list[UUID]:
        """All that are enrolled, in the order in which they were."""
        return list(self._spare)

    def enrol(self, count: int, *, samples: int, spare: int = 0) -> list[UUID]:
        """Draw subjects with so many samples each, and some more samples for later."""
        drawn = self._model.draw(count, samples + spare, self._rng)
        new = [UUID(bytes=self._rng.bytes(16), version=4) for _ in range(count)]
        with psycopg.connect(self._url) as connection:
            with connection.cursor().copy(
                "COPY subjects (id, collection_id, metadata) FROM STDIN"
            ) as copy:
                for subject in new:
                    copy.write_row((subject, self.id, "{}"))
            self._add(connection, zip(new, drawn[:, :samples], strict=True))
            self._tell(connection, new, "subject_enrolled")
        self._spare |= dict(zip(new, drawn[:, samples:], strict=True))
        return new

    def add_samples(self, subjects: Sequence[UUID]) -> None:
        """Give each subject one of the samples that were kept for later."""
        with psycopg.connect(self._url) as connection:
            self._add(connection, ((each, self._spare[each][:1]) for each in subjects))
            self._tell(connection, subjects, "samples_added")
        for each in subjects:
            self._spare[each] = self._spare[each][1:]

    def delete_subjects(self, subjects: Sequence[UUID]) -> None:
        """Delete subjects with all that is theirs."""
        with psycopg.connect(self._url) as connection:
            connection.execute("DELETE FROM subjects WHERE id = ANY(%s)", [list(subjects)])
            self._tell(connection, subjects, "subject_deleted")
        for each in subjects:
            del self._spare[each]

    def delete_sample(self, subject: UUID) -> None:
        """Delete one of a subject's samples."""
        with psycopg.connect(self._url) as connection:
            connection.execute(
                "DELETE FROM samples WHERE id IN "
                "(SELECT id FROM samples WHERE subject_id = %s ORDER BY id LIMIT 1)",
                [subject],
            )
            self._tell(connection, [subject], "sample_deleted")

    def judge(self, subject: UUID, template: Floats, verdict: str) -> None:
        """Say of a (d,) probe that it is of a subject (`confirmed`) or not (`rejected`)."""
        sealed = self._vault.seal(template.tobytes(), purpose="feedback", owner=subject)
        with psycopg.connect(self._url) as connection:
            connection.execute(
                "INSERT INTO feedback (id, collection_id, subject_id, identification_sha256, "
                "verdict, template) VALUES (%s, %s, %s, %s, %s, %s)",
                [uuid4(), self.id, subject, self._rng.bytes(32), verdict, sealed],
            )
            self._tell(connection, [subject], "feedback_given")

    def _add(self, connection: Connection, samples: Iterable[tuple[UUID, Floats]]) -> None:
        """Write samples, and a degraded copy of each."""
        copies = []
        with connection.cursor().copy(
            "COPY samples (id, subject_id, template, picture_sha256, quality_score, "
            "quality_reasons) FROM STDIN"
        ) as copy:
            for subject, templates in samples:
                for template in templates:
                    sample = UUID(bytes=self._rng.bytes(16), version=4)
                    sealed = self._vault.seal(template.tobytes(), purpose="sample", owner=subject)
                    copy.write_row((sample, subject, sealed, self._rng.bytes(32), 0.9, []))
                    kind, degraded = self._degraded(template)
                    sealed = self._vault.seal(degraded, purpose="variant", owner=sample)
                    copies.append((sample, kind, sealed))
        with connection.cursor().copy(
            "COPY variants (sample_id, kind, template) FROM STDIN"
        ) as copy:
            for variant in copies:
                copy.write_row(variant)

    def _degraded(self, template: Floats) -> tuple[str, bytes]:
        kind = int(self._rng.integers(len(KINDS)))
        moved = template + self._rng.uniform(LEAST_MOVE, LARGEST_MOVE) * self._moves[kind]
        return KINDS[kind], (moved / np.linalg.norm(moved)).astype(np.float32).tobytes()

    def _tell(self, connection: Connection, subjects: Sequence[UUID], kind: str) -> None:
        """One change for each subject, and the collection's revision."""
        (revision,) = connection.execute(
            "UPDATE collections SET revision = revision + %s WHERE id = %s RETURNING revision",
            [len(subjects), self.id],
        ).fetchone() or (0,)
        first = revision - len(subjects) + 1
        with connection.cursor().copy(
            "COPY changes (collection_id, revision, subject_id, kind) FROM STDIN"
        ) as copy:
            for place, subject in enumerate(subjects):
                copy.write_row((self.id, first + place, subject, kind))
