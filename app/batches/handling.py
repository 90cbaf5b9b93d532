"""One item of a batch: enrolled or identified as a single call would, and written down."""

import asyncio
import json
from http import HTTPStatus
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.audit.facts import Facts, collecting
from app.batches import repository
from app.batches.items import Item
from app.batches.journal import Journal
from app.batches.schemas import (
    ENROL,
    BatchFace,
    EnrolledItem,
    IdentifiedItem,
    ItemError,
    TakenFor,
)
from app.batches.work import TRY_AGAIN, TRY_AGAIN_AFTER_S, Batch
from app.identify.schemas import CandidateOut, IdentifiedFace, IdentifyAnswer
from app.identify.service import identify
from app.jobs.attended import Work
from app.jobs.claim import Claim
from app.problems import (
    CollectionNotFound,
    EmbedderMismatch,
    ExternalIdTaken,
    InvalidRequest,
    Problem,
    SubjectNotFound,
)
from app.services import Services
from app.subjects.enrolment import enrol
from app.subjects.repository import id_of_external_id
from app.subjects.review import DUPLICATE
from app.subjects.schemas import EnrolAnswer

NOT_THE_ITEMS: tuple[type[Exception], ...] = (*TRY_AGAIN, CollectionNotFound, EmbedderMismatch)
"""What is raised while an item is at hand, and is no fault of it."""
MADE_OR_DELETED = (ExternalIdTaken, SubjectNotFound)
"""Others were at the subject just now; looked up again, it is there, or gone."""
MOST_TRIES = 5
"""With an item whose subject others are at."""


def batch_work(services: Services, claim: Claim) -> Work:
    """Prepare the work of a batch that was begun."""
    handler = _Enroller if claim.kind == ENROL else _Identifier
    return Batch(claim, services, handler(services, claim).handle)


class _Enroller:
    def __init__(self, services: Services, claim: Claim) -> None:
        self._services = services
        self._claim = claim
        self._journal = Journal(claim, services.vault, action="enroll")

    async def handle(self, item: Item) -> None:
        """Enrol a person, or add to the one who has this external id."""
        tries = 1
        while not await self._is_handled(item, is_last=tries == MOST_TRIES):
            tries += 1
            await asyncio.sleep(TRY_AGAIN_AFTER_S)

    async def _is_handled(self, item: Item, *, is_last: bool) -> bool:
        """Tell whether it is written down what became of an item; it is if this try is the last."""
        with collecting() as facts:
            try:
                if item.wrong is not None:
                    raise InvalidRequest(item.wrong)
                await self._enrol(item, facts)
            except NOT_THE_ITEMS:
                raise
            except Problem as problem:
                if isinstance(problem, MADE_OR_DELETED) and not is_last:
                    return False
                await self._refuse(item, problem, facts)
        return True

    async def _enrol(self, item: Item, facts: Facts) -> None:
        person, options = item.person, self._claim.options
        assert person is not None  # noqa: S101  (else something is wrong with it)

        async def note(session: AsyncSession, answer: EnrolAnswer) -> None:
            subject_id = answer.subject.subject_id
            report = EnrolledItem(
                position=item.position,
                id=item.name,
                subject_id=subject_id,
                accepted=answer.accepted,
                rejected=answer.rejected,
                revision=answer.revision,
            )
            await self._journal.write(
                session, report, facts, tells_of=[subject_id], status=HTTPStatus.CREATED
            )

        async with self._services.database.snapshot() as session:
            known = await self._known(session, item)
        new = known is None
        await enrol(
            images=[picture.as_upload() for picture in item.pictures],
            subject_id=known,
            external_id=person.external_id if new else None,
            name=person.name if new else None,
            metadata=json.dumps(person.metadata) if new and person.metadata is not None else None,
            consent_reference=person.consent_reference if new else None,
            collection=self._claim.collection_id,  # its name may be another one's by now
            select=options["select"],
            allow_conflict=options["allow_conflict"],
            min_revision=None,
            services=self._services,
            request_id=self._claim.job_id.hex,
            also=note,
        )

    async def _refuse(self, item: Item, problem: Problem, facts: Facts) -> None:
        """Write down why nothing came of an item; that it is there already is no fault."""
        rejected = problem.extra.get("rejected", [])
        error: ItemError | None = ItemError(code=problem.code, detail=problem.detail)
        async with self._services.database.transaction() as session:
            # Whoever is told of takes the report along when deleted, also what `id` says of them.
            known = await self._known(session, item)
            told = await repository.keep_subjects(session, [known] if known else [])
            if told and any(each["reason"] == DUPLICATE.reason for each in rejected):
                error = None
            report = EnrolledItem(
                position=item.position,
                id=item.name,
                subject_id=known if told else None,
                rejected=rejected,
                error=error,
            )
            await self._journal.write(session, report, facts, tells_of=told, status=problem.status)

    async def _known(self, session: AsyncSession, item: Item) -> UUID | None:
        """Find the subject who has the person's external id already."""
        if item.person is None or item.person.external_id is None:
            return None
        return await id_of_external_id(
            session,
            collection_id=self._claim.collection_id,
            external_id=item.person.external_id,
        )


class _Identifier:
    def __init__(self, services: Services, claim: Claim) -> None:
        self._services = services
        self._claim = claim
        self._journal = Journal(claim, services.vault, action="identify")

    async def handle(self, item: Item) -> None:
        """Name the faces of a picture."""
        with collecting() as facts:
            try:
                if item.wrong is not None:
                    raise InvalidRequest(item.wrong)
                answer = await self._identify(item)
            except NOT_THE_ITEMS:
                raise
            except Problem as problem:
                report = IdentifiedItem(
                    position=item.position,
                    id=item.name,
                    error=ItemError(code=problem.code, detail=problem.detail),
                )
                async with self._services.database.transaction() as session:
                    await self._journal.write(session, report, facts, status=problem.status)
                return
            async with self._services.database.transaction() as session:
                told = {each for face in answer.faces for each in _taken_for(face, answer)}
                kept = await repository.keep_subjects(session, told)
                report = _report(item, answer, kept)
                await self._journal.write(session, report, facts, tells_of=kept)

    async def _identify(self, item: Item) -> IdentifyAnswer:
        options = self._claim.options
        (picture,) = item.pictures
        return await identify(
            image=picture.as_upload(),
            collection=self._claim.collection_id,
            limit=5,
            max_fpir=options["max_fpir"],
            threshold=options["threshold"],
            min_revision=None,
            services=self._services,
            request_id=self._claim.job_id.hex,
        )


def _report(item: Item, answer: IdentifyAnswer, kept: set[UUID]) -> IdentifiedItem:
    """Tell of those alone whom a face was taken for: the report is stored, and goes with them.

    Nor does it have `identification_id`s, as these hold the faces' templates.
    """
    return IdentifiedItem(
        position=item.position,
        id=item.name,
        faces=[_face(face, answer, kept) for face in answer.faces],
        threshold=answer.threshold,
        bundle=answer.bundle,
        revision=answer.revision,
    )


def _face(face: IdentifiedFace, answer: IdentifyAnswer, kept: set[UUID]) -> BatchFace:
    taken_for = [
        TakenFor(
            subject_id=each.subject_id,
            external_id=each.external_id,
            name=each.name,
            score=each.score,
        )
        for subject_id, each in _taken_for(face, answer).items()
        if subject_id in kept
    ]
    is_match = face.decision == "match"
    return BatchFace(
        box=face.box,
        detection_score=face.detection_score,
        quality=face.quality,
        decision=face.decision,
        probability=face.probability,
        best=taken_for[0] if is_match and taken_for else None,
        contenders=[] if is_match else taken_for,
    )


def _taken_for(face: IdentifiedFace, answer: IdentifyAnswer) -> dict[UUID, CandidateOut]:
    """Who the face may be: the match, or those whom it can't be told apart from."""
    match face.decision:
        case "match":
            candidates = [face.best] if face.best else []
        case "ambiguous":
            candidates = [
                each
                for each in face.candidates
                if each.score >= answer.threshold and not each.rejected
            ]
        case _:
            candidates = []
    return {each.subject_id: each for each in candidates}
