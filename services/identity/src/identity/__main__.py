"""`python -m identity`."""

from identity.cli import app
from kit.cli import main

main(app)
