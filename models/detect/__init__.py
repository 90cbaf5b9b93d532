"""Faces in a picture: boxes, five landmarks, scores."""

from models.detect.detector import Detections, DetectorNets, DetectorSettings, detect

__all__ = ["Detections", "DetectorNets", "DetectorSettings", "detect"]
