"""Embedders: those that run in a process, and the change of a collection from one to another."""
