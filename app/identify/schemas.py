"""Faces and answers as the API shows them."""

from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from models.arrays import Floats
from models.decide import Decision, Source
from models.quality import Quality
from models.router import IndexKind
from models.search import Routing

_FACE: dict[str, JsonValue] = {
    "box": {"x": 71.4, "y": 68.9, "width": 104.2, "height": 130.8},
    "box_normalized": {"x": 0.2856, "y": 0.2756, "width": 0.4168, "height": 0.5232},
    "landmarks": {
        "left_eye": {"x": 101.1, "y": 118.0},
        "right_eye": {"x": 149.5, "y": 116.7},
        "nose": {"x": 127.8, "y": 144.2},
        "mouth_left": {"x": 106.0, "y": 169.3},
        "mouth_right": {"x": 147.2, "y": 168.4},
    },
    "detection_score": 0.9998,
    "quality": {"score": 0.93, "reasons": []},
}

_CANDIDATE: dict[str, JsonValue] = {
    "subject_id": "5e0f8d0a-7a57-4f0e-9d3b-3b8a3f8f6f50",
    "external_id": "p-44",
    "name": "Barack Obama",
    "score": 0.8312,
    "source": "bundle",
    "rejected": False,
}


class Box(BaseModel):
    """Where a face is, in pixels of the upright picture; x runs right, y down."""

    x: float
    y: float
    width: float
    height: float

    @classmethod
    def of(cls, corners: Floats) -> "Box":
        """Make it from (4,) x1, y1, x2, y2 in pixels."""
        x1, y1, x2, y2 = corners.tolist()
        return cls(
            x=round(x1, 1), y=round(y1, 1), width=round(x2 - x1, 1), height=round(y2 - y1, 1)
        )


class NormalizedBox(BaseModel):
    """The box as shares of the picture's width and height."""

    x: float
    y: float
    width: float
    height: float

    @classmethod
    def of(cls, corners: Floats, *, width_px: int, height_px: int) -> "NormalizedBox":
        """Make it from (4,) x1, y1, x2, y2 in pixels."""
        x1, y1, x2, y2 = corners.tolist()
        return cls(
            x=round(x1 / width_px, 6),
            y=round(y1 / height_px, 6),
            width=round((x2 - x1) / width_px, 6),
            height=round((y2 - y1) / height_px, 6),
        )


class Point(BaseModel):
    """A place in the picture, in pixels."""

    x: float
    y: float


class Landmarks(BaseModel):
    """Five points of a face; left is the viewer's left in an upright face."""

    left_eye: Point
    right_eye: Point
    nose: Point
    mouth_left: Point
    mouth_right: Point

    @classmethod
    def of(cls, points: Floats) -> "Landmarks":
        """Make them from (5, 2) x, y in pixels, in this order."""
        left_eye, right_eye, nose, mouth_left, mouth_right = (
            Point(x=round(x, 1), y=round(y, 1)) for x, y in points.tolist()
        )
        return cls(
            left_eye=left_eye,
            right_eye=right_eye,
            nose=nose,
            mouth_left=mouth_left,
            mouth_right=mouth_right,
        )


class QualityOut(BaseModel):
    """How well a face can be recognised in this picture."""

    score: float = Field(description="0 (useless) to 1 (a passport picture).")
    reasons: list[str] = Field(description="What lowers it, e.g. `blurred`, `face_too_small`.")

    @classmethod
    def of(cls, quality: Quality) -> "QualityOut":
        """Show what the query path assessed."""
        return cls(score=round(quality.score, 4), reasons=list(quality.reasons))


class Face(BaseModel):
    """A face in a picture."""

    box: Box
    box_normalized: NormalizedBox
    landmarks: Landmarks
    detection_score: float = Field(description="How sure the detector is, 0 to 1.")
    quality: QualityOut


class DetectAnswer(BaseModel):
    """The faces of a picture, largest first."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "faces": [_FACE],
                    "timings_ms": {"decode": 1.1, "detect": 5.2, "align": 0.4, "total": 6.7},
                    "request_id": "01990b1c5a3c7d5e8f6a0b1c2d3e4f50",
                }
            ]
        }
    )

    faces: list[Face]
    timings_ms: dict[str, float]
    request_id: str


class CandidateOut(BaseModel):
    """A subject that a face may show."""

    subject_id: UUID
    external_id: str | None
    name: str | None
    score: float = Field(description="Likeness, a cosine in [-1, 1]; higher is more alike.")
    source: Source = Field(
        description="`bundle`: a trained subnet knows the subject as it is; `live`: enrolled or "
        "changed since the training, or there is no bundle."
    )
    rejected: bool = Field(
        description="Feedback has said that this very face is not this subject: it is no match."
    )


class RoutingOut(BaseModel):
    """Where a face was searched."""

    clusters: list[int] = Field(
        description="Clusters whose subnets ran, the leading one first; none without a bundle."
    )
    vote_share: float | None = Field(
        description="Share of the nearest class means' vote that these clusters have, 0 to 1."
    )
    index: IndexKind = Field(
        description="`exact`: all class means were compared; `pq`: their codes, the best exactly."
    )

    @classmethod
    def of(cls, routing: Routing) -> "RoutingOut":
        """Show what the search tells."""
        share = routing.vote_share
        return cls(
            clusters=list(routing.clusters),
            vote_share=None if share is None else round(share, 4),
            index=routing.index,
        )


class IdentifiedFace(Face):
    """A face and who it is."""

    identification_id: str = Field(
        description="Names this face in POST /subjects/{id}/feedback. It holds the template of the "
        "face, sealed: nothing is kept in the service."
    )
    decision: Decision = Field(
        description="`match`; `ambiguous`: two subjects reach the threshold and are too alike to "
        "be told apart, both are candidates; or `unknown`."
    )
    probability: float | None = Field(
        description="That the first candidate which is not `rejected` is right, for a face that is "
        "as likely enrolled as not; null without one."
    )
    candidates: list[CandidateOut] = Field(
        description="The nearest subjects, best first, whatever their score."
    )
    best: CandidateOut | None = Field(
        description="The subject that the face is taken for; null unless `decision` is `match`."
    )
    routing: RoutingOut


class IdentifyAnswer(BaseModel):
    """Who is in a picture."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "faces": [
                        _FACE
                        | {
                            "identification_id": "AVwq0Yt3...",
                            "decision": "match",
                            "probability": 0.9991,
                            "candidates": [_CANDIDATE],
                            "best": _CANDIDATE,
                            "routing": {"clusters": [3], "vote_share": 0.9874, "index": "exact"},
                        }
                    ],
                    "threshold": 0.5174,
                    "timings_ms": {
                        "decode": 1.1,
                        "detect": 5.2,
                        "align": 0.4,
                        "embed": 5.9,
                        "search": 0.3,
                        "decide": 0.1,
                        "total": 12.8,
                    },
                    "embedder": "mobilefacenet-192",
                    "bundle": "52e4324d0c5be0b3c59c8f2f6d1d3f0a9f1e2c7b8a6d5e4f3c2b1a0918273645",
                    "revision": 1,
                    "request_id": "01990b1c5a3c7d5e8f6a0b1c2d3e4f50",
                }
            ]
        }
    )

    faces: list[IdentifiedFace] = Field(description="Every face of the picture, largest first.")
    threshold: float = Field(description="The lowest score that was a match here.")
    timings_ms: dict[str, float]
    embedder: str
    bundle: str | None = Field(description="The trained bundle in use; null: none.")
    revision: int = Field(description="The last change of the collection that this answer saw.")
    request_id: str


def rounded(timings_ms: dict[str, float]) -> dict[str, float]:
    """Show milliseconds to the microsecond."""
    return {stage: round(duration, 3) for stage, duration in timings_ms.items()}
