"""`python -m review.cli`, for where the installed command is not on the path."""

from review.cli import main

main()
