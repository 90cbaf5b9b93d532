"""Kept pictures: of the samples of collections that ask for it, sealed."""
