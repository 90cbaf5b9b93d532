"""`cohort import`: enrol many people from folders or a CSV, stoppable and continuable."""

from app.cli.importing.command import import_pictures

__all__ = ["import_pictures"]
