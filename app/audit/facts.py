"""What a call finds out about itself while it runs, for its entry in the audit log.

Routes and services say what they know with `note`, wherever they come to know it. Outside of a
call that is audited, as in a command, nobody listens.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from uuid import UUID


@dataclass
class Facts:
    """Of one call."""

    collection_id: UUID | None = None
    subject_ids: list[UUID] = field(default_factory=list)
    """Each once, in the order in which they were noted."""
    outcome: str | None = None

    def note_subjects(self, subject_ids: Iterable[UUID]) -> None:
        """Add those that are not there yet."""
        self.subject_ids.extend(each for each in subject_ids if each not in self.subject_ids)


_facts: ContextVar[Facts | None] = ContextVar("audit_facts", default=None)


@contextmanager
def collecting() -> Iterator[Facts]:
    """Collect what is noted in the block, and in the tasks that it starts."""
    facts = Facts()
    token = _facts.set(facts)
    try:
        yield facts
    finally:
        _facts.reset(token)


def note(
    *,
    collection_id: UUID | None = None,
    subject_ids: Iterable[UUID] = (),
    outcome: str | None = None,
) -> None:
    """Say what the call is about.

    Args:
        collection_id: the collection that it works on.
        subject_ids: whom it enrols, changes, deletes, shows or has recognised; they are added.
        outcome: how it ended, if it ends well; a problem's code takes its place.
    """
    facts = _facts.get()
    if facts is None:
        return
    facts.collection_id = collection_id or facts.collection_id
    facts.note_subjects(subject_ids)
    facts.outcome = outcome or facts.outcome
