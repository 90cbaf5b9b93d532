"""Rates as people write them: `600/minute`."""

from limits import RateLimitItem, parse


def check_rate(text: str) -> str:
    """Give a rate back as it is.

    Raises:
        ValueError: it can't be read, or allows nothing.
    """
    parse_rate(text)
    return text


def parse_rate(text: str) -> RateLimitItem:
    """Read a rate: calls, and the second, minute, hour or day in which there may be so many.

    Raises:
        ValueError: it can't be read, or allows nothing.
    """
    try:
        rate = parse(text)
    except ValueError:
        rate = None
    if rate is None or rate.amount < 1 or rate.get_expiry() < 1:
        raise ValueError("should be a number of calls and a time, such as 600/minute")
    return rate
