"""`python -m notify`."""

from kit.cli import main
from notify.cli import app

if __name__ == "__main__":
    main(app)
