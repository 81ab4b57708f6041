"""``python -m preflab`` (and ``torchrun -m preflab``) is the console script."""

from preflab.console.cli import main

main()
