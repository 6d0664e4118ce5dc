"""`python -m hintseg` is the command line."""

from hintseg.cli import main

main()
