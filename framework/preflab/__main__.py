"""``python -m preflab`` (and ``torchrun -m preflab``) is the console script."""

from preflab.cli import main

main()
