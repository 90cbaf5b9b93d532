"""The losses that subnets train with, over one interface: `Head`. Needs torch."""

from training.heads.additive import AdaptiveFace, AMSoftmax, ArcFace
from training.heads.base import Head
from training.heads.multiplicative import ASoftmax, LSoftmax
from training.heads.softmax import NormFace, Softmax

# By the names that settings and reports use. CosFace is AM-Softmax by another name.
HEADS: dict[str, type[Head]] = {
    "softmax": Softmax,
    "normface": NormFace,
    "l-softmax": LSoftmax,
    "a-softmax": ASoftmax,
    "am-softmax": AMSoftmax,
    "arcface": ArcFace,
    "adaptiveface": AdaptiveFace,
}

__all__ = [
    "HEADS",
    "AMSoftmax",
    "ASoftmax",
    "AdaptiveFace",
    "ArcFace",
    "Head",
    "LSoftmax",
    "NormFace",
    "Softmax",
]
