"""`python -m binding`."""

from binding.cli import app
from kit.cli import main

main(app)
