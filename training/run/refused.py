"""The one error of a run that is no bug."""


class RunRefused(ValueError):
    """The run can't go on as things are; the message says why, and what to do."""
