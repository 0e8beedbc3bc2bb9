"""`python -m identity`."""

from identity.cli import run

run()
