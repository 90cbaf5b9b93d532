"""The live galleries: what is searched, kept in step with the database through the feed."""
