"""Failures whose text is for the operator: a sentence about the surroundings, and what to do next."""


class OperatorError(Exception):
    """Nothing is wrong with the program: whoever shows it needs no traceback. Its text never has a secret."""

    afterwards = ""
    """What to do once the cause is gone, where the next step alone does not say it."""
