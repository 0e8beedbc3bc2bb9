"""`python -m settlement`."""

from kit.cli import main
from settlement.cli import app

main(app)
