"""`python -m xmatch.cli`, for where the console script is not on the path."""

from xmatch.cli import main

main()
