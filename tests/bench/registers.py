"""A register of insured persons that is the same every time: valid numbers, Chinese and Xinjiang names."""

import csv
from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Final

from identity.domain.identity_number import check_character
from identity.importing.csv_file import COLUMNS

_SURNAMES: Final = "王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗梁宋郑谢韩唐冯于董萧程曹袁邓许傅沈曾彭吕"
_GIVEN: Final = "伟芳娜敏静丽强磊军洋勇艳杰娟涛明超秀霞平刚桂英华玉兰建国文红梅鑫雪婷宇浩然博子轩"
_UYGHUR: Final = (
    *"买买提",
    "艾力",
    "阿依古丽",
    "热合曼",
    "古丽娜尔",
    "吐尔逊",
    "帕提古丽",
    "艾合买提",
    "努尔",
    "迪丽拜尔",
)
_REGIONS: Final = ("652700", "652701", "652702", "652722", "652723")
_FIRST_BIRTHDAY: Final = date(1935, 1, 1)
_DAYS: Final = 32_000
"""Birthdays until 2022."""
_UYGHUR_EVERY: Final = 5
_RESIDENT_EVERY: Final = 3

Row = tuple[str, ...]


def row(number: int, *, arrears: bool = False) -> Row:
    """The row of one person; people differ by their number."""
    born = _FIRST_BIRTHDAY + timedelta(days=number * 7919 % _DAYS)
    region = _REGIONS[number % len(_REGIONS)]
    # Nobody shares birthday, region and sequence: a birthday comes back only after 32,000 people.
    body = f"{region}{born:%Y%m%d}{number // _DAYS:03d}"
    resident = number % _RESIDENT_EVERY == 0
    return (
        f"6527{number:012d}",
        _name(number),
        "01",
        body + check_character(body),
        born.isoformat(),
        f"139{number:08d}",
        f"X{number:09d}",
        "390" if resident else "310",
        region,
        "1",
        "1" if arrears else "0",
        "2025-01-01",
        "2025-12-31" if resident else "",
    )


def _name(number: int) -> str:
    if number % _UYGHUR_EVERY == 0:
        own, father = number // _UYGHUR_EVERY, number // (_UYGHUR_EVERY * len(_UYGHUR))
        return f"{_UYGHUR[own % len(_UYGHUR)]}·{_UYGHUR[father % len(_UYGHUR)]}"
    first, second = number % len(_GIVEN), number // len(_GIVEN) % len(_GIVEN)
    return f"{_SURNAMES[number % len(_SURNAMES)]}{_GIVEN[first]}{_GIVEN[second]}"


def rows(count: int, *, changed_every: int = 0) -> Iterator[Row]:
    """The register; of every so many people one has another status than in the unchanged one."""
    for number in range(1, count + 1):
        yield row(number, arrears=bool(changed_every) and number % changed_every == 0)


def write(path: Path, people: Iterable[Row]) -> Path:
    """The register as a file."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(people)
    return path
