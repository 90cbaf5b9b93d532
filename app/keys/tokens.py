"""Tokens: what a caller sends.

A token is `cohort_<id>_<secret>`: 8 hexadecimal digits that find the row, and 43 characters of
base64url that hold 256 random bits. Only the token's SHA-256 is stored; with that much randomness
a slow hash would add nothing but its time.
"""

import hashlib
import re
import secrets

_TOKEN = re.compile(r"cohort_([0-9a-f]{8})_[A-Za-z0-9_-]{43}")


def new_token() -> tuple[str, str]:
    """Make a token; give it and the id in it."""
    key_id = secrets.token_hex(4)
    return f"cohort_{key_id}_{secrets.token_urlsafe(32)}", key_id


def id_in(token: str) -> str | None:
    """Give the id in a token; None: it has no token's form."""
    match = _TOKEN.fullmatch(token)
    return match and match[1]


def digest(token: str) -> bytes:
    """Make what is stored of a token: 32 bytes."""
    return hashlib.sha256(token.encode()).digest()
