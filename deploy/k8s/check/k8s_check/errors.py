"""Why a check could not be made, apart from what it found."""


class CheckError(Exception):
    """The check itself could not go on; the text says what happened and what to do."""
