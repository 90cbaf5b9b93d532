"""Bundles: what trainings made, which of them a collection is searched with, and their files."""
