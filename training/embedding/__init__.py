"""Pictures, or a gallery's templates, into an embedding store."""
