"""Batches: many people enrolled, or many pictures identified, by one upload and one job."""
