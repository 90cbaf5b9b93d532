"""Drawn embedding stores of any size, to study scale; always marked so."""
