"""What a run says when it can't go on."""


class RunRefused(ValueError):
    """The run can't go on as things are; the message says why, and what to do."""
