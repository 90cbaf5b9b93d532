"""The embedding store: templates on disk, whole or not at all."""
