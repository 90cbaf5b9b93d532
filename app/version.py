"""What this is and which version; pyproject.toml has the same, and a test compares."""

NAME = "cohort"
VERSION = "0.1.0"
