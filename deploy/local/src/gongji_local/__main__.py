"""`python -m gongji_local`."""

from gongji_local.cli import main

if __name__ == "__main__":
    main()
