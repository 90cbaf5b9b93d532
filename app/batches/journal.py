"""Writes down what became of an item, once, sealed, with its entry in the audit log."""

from collections.abc import Iterable
from http import HTTPStatus
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.audit import repository as audit
from app.audit.entry import Entry
from app.audit.facts import Facts
from app.batches import repository
from app.batches.schemas import Report
from app.encryption.contents import JOB_ITEM
from app.jobs import claims
from app.jobs.claim import Claim
from app.jobs.outcome import JobLost
from vault.vault import Vault


class Journal:
    """Of one batch, while this process has the claim to it."""

    def __init__(self, claim: Claim, vault: Vault, *, action: str) -> None:
        """Write for a claim; `action` is the single call's, for the audit log."""
        self._claim = claim
        self._vault = vault
        self._action = action

    async def write(
        self,
        session: AsyncSession,
        report: Report,
        facts: Facts,
        *,
        tells_of: Iterable[UUID] = (),
        status: int = HTTPStatus.OK,
    ) -> None:
        """Write down what became of an item, in the transaction that makes it so.

        Args:
            session: of that transaction.
            report: as the API will show it.
            facts: what the work has found out for the audit log.
            tells_of: the subjects with whom the report is to be deleted.
            status: of the single call that would have done the same.

        Raises:
            JobLost: the claim is void, so that another process is at this item.
        """
        if not await claims.share_held(session, self._claim):
            raise JobLost
        job_id = self._claim.job_id
        await repository.insert_item(
            session,
            {
                "job_id": job_id,
                "position": report.position,
                "subject_ids": sorted(set(tells_of)),
                "failed": report.error is not None,
                "report": self._vault.seal(
                    report.model_dump_json().encode(), purpose=JOB_ITEM, owner=job_id
                ),
            },
        )
        entry = Entry(
            request_id=job_id.hex,
            key_id=self._claim.key_id,
            action=self._action,
            collection_id=self._claim.collection_id,
            subject_ids=tuple(facts.subject_ids),
            outcome=report.error.code if report.error else facts.outcome or "done",
            status=status,
            address=None,
        )
        await audit.insert(session, [entry.document()])
