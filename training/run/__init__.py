"""A training from pictures to bundle: stages in their order, in one directory, each resumable."""
