"""Writes that can be sent again: the same `Idempotency-Key` is carried out once."""
