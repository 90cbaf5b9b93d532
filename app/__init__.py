"""The service: HTTP, database, the gallery in memory, and the command line."""
