"""The report of a training run: one page, its tables as CSV, its figures as JSON."""
