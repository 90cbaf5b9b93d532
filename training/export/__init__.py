"""Nets and golden fixtures made from other projects' weights."""
