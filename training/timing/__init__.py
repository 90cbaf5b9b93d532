"""Seconds an epoch and peak memory: one layer over all classes against subnets."""
