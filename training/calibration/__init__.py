"""Decides by held-out probes what the bundle's decisions go by."""
