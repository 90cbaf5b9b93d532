"""Do the clocks of two machines agree?"""

import time
from collections.abc import Callable

from app.doctor.findings import Finding, failed, ok, warning

WARNING_S, FAILED_S = 1.0, 30.0
ADVICE = (
    "Have both machines' clocks set by NTP: the audit log, expiries and rate limits go by them."
)


def compare_clocks(whose: str, read: Callable[[], float]) -> Finding:
    """Compare a clock with this machine's.

    Args:
        whose: it is.
        read: gives its seconds since 1970.
    """
    before = time.time()
    theirs = read()
    # In the midst of question and answer; the best that one can say without knowing the way.
    ahead_s = theirs - (before + time.time()) / 2
    text = f"{whose} is {abs(ahead_s):.3f} s {'ahead of' if ahead_s > 0 else 'behind'} this machine"
    if abs(ahead_s) > FAILED_S:
        return failed("clock", text, ADVICE)
    if abs(ahead_s) > WARNING_S:
        return warning("clock", text, ADVICE)
    return ok("clock", text)
