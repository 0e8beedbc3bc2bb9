"""Citizens' identity numbers (公民身份号码) by GB 11643-1999: region 6, birth date 8, sequence 3, check character 1."""

from datetime import date
from operator import mul

from identity.domain.refusals import CertificateInvalid

LENGTH = 18
EARLIEST_BIRTH_YEAR = 1850

# GB/T 2260 at the level of provinces, and 83 for residence permits of people from Taiwan. Counties are not looked up:
# they are merged and renamed, while a number keeps the code of the day on which it was given.
_PROVINCES = frozenset(
    str(code)
    for codes in (
        range(11, 16),  # the north
        range(21, 24),  # the north-east
        range(31, 38),  # the east
        range(41, 47),  # the centre and the south
        range(50, 55),  # the south-west
        range(61, 66),  # the north-west
        (71, 81, 82, 83),
    )
    for code in codes
)
_MODULUS = 11
# The powers of two that ISO 7064 MOD 11-2 multiplies the seventeen digits by, from the left.
_WEIGHTS = tuple(2 ** (LENGTH - place) % _MODULUS for place in range(1, LENGTH))
_OF_ZEROS = 1 + ord("0") * sum(_WEIGHTS)
_CHARACTERS = "0123456789X"


def check_character(body: str) -> str:
    """The character that completes seventeen digits, by ISO 7064 MOD 11-2."""
    return _CHARACTERS[(_OF_ZEROS - sum(map(mul, _WEIGHTS, body.encode()))) % _MODULUS]


def birth_date(number: str, today: date) -> date:
    """The birth date in a number that follows the standard.

    Raises:
        CertificateInvalid: form, region, date or check character is wrong; says which, and not the number.
    """
    body, last = number[:-1], number[-1:]
    if len(number) != LENGTH or not (body.isascii() and body.isdigit()) or last not in _CHARACTERS:
        raise CertificateInvalid("an identity number has 17 digits and a check character (0-9 or X)")
    if number[:2] not in _PROVINCES:
        raise CertificateInvalid("the identity number's region does not exist")
    born = _date(number[6:14])
    if born is None or born > today or born.year < EARLIEST_BIRTH_YEAR:
        raise CertificateInvalid("the identity number's birth date cannot be")
    if check_character(body) != last:
        raise CertificateInvalid("the identity number's check character is wrong")
    return born


def _date(digits: str) -> date | None:
    try:
        return date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
    except ValueError:
        return None
