"""Retention: what has been kept for as long as it may be is deleted, without anybody asking."""
