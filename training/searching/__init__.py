"""Probes searched among enrolled classes, in memory: what calibration and evaluation go by."""
