"""`python -m app.cli` is `cohort`, for where the script isn't on the path."""

from app.cli import main

main()
