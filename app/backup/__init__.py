"""Backup of database and bundles into one file, and the way back."""
