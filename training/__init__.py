"""Offline work: exports and calibration. Never imported by the service."""
