"""Who did what to whom, when, from where, and how it ended: a log that only grows."""
