"""Histories from a seed: what hospitals, families and clerks want to do, in phases between which the clock moves.

Nothing in a history knows how it goes: that is decided by whoever comes first when it is played.

Histories have this generator of their own; they are not those of the state machines (`test_ledger_machine`,
`test_premium_machine`). A machine chooses each step by what came of the one before, which nobody knows who acts while
others do. What both share is the model, `support.ledger_model`, which says of either what should have come of it.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

from model.families import PREMIUMS, Families, some_limits

PHASES: Final = (timedelta(0), timedelta(minutes=11), timedelta(days=1), timedelta(days=22))
"""How far the clock moves before each phase: previews run out, a day, and a month end."""
DESKS: Final = 8
"""Of each hospital, and each does one thing after the other."""
CITIZENS: Final = 4
CLERKS: Final = 3
MOST_FEN: Final = 600


@dataclass(frozen=True)
class Wish:
    """One thing that somebody wants."""

    number: int
    kind: str
    hospital: str = ""
    patient: str = ""
    payer: str = ""
    amount: int = 0
    own: bool = False
    aid: bool = True
    of: "Wish | None" = None
    """The earlier wish that this one is about."""
    waits: bool = False
    """Whether the answer to that one is waited for."""
    visit: str = ""
    year: int = 0
    relation: int = -1
    heirs: bool = False
    """Whether the money of a closed account goes to them."""
    limits: dict[str, int] = field(default_factory=dict)
    items: tuple["Wish", ...] = ()
    """What is sent together."""


@dataclass(frozen=True)
class Phase:
    """What is wanted at one time."""

    after: timedelta
    visit: str
    callers: list[list[Wish]]
    """Each does one thing after the other, all at once."""

    @property
    def wishes(self) -> Iterator[Wish]:
        """All of them, and what is sent together."""
        for wish in (wish for caller in self.callers for wish in caller):
            yield wish
            yield from wish.items


class Maker:
    """Makes a history of about so many wishes."""

    def __init__(self, chance: random.Random, families: Families, wishes: int) -> None:
        self._chance = chance
        self._families = families
        self._each = max(1, wishes // len(PHASES))
        self._number = 0
        self._bills: list[Wish] = []
        """What can be reversed, settled again, used or sent again."""
        self._premiums: list[Wish] = []
        self._closing: set[str] = set()
        """Whose accounts are to be closed."""

    def make(self) -> list[Phase]:
        """The phases."""
        return [self._phase(number, after) for number, after in enumerate(PHASES)]

    def _phase(self, number: int, after: timedelta) -> Phase:
        visit = f"V{number}"
        desks: dict[str, list[list[Wish]]] = {each: [[] for _ in range(DESKS)] for each in self._families.hospitals}
        citizens: list[list[Wish]] = [[] for _ in range(CITIZENS)]
        clerks: list[list[Wish]] = [[] for _ in range(CLERKS)]
        for _ in range(self._each):
            dice = self._chance.random()
            if dice < 0.78:
                hospital = self._chance.choice(self._families.hospitals)
                self._chance.choice(desks[hospital]).append(self._of_hospital(hospital, visit))
            elif dice < 0.85:
                self._chance.choice(citizens).append(self._of_citizen())
            elif dice < 0.94:
                clerk = self._chance.choice(clerks)
                clerk.append(self._of_clerk(self._clerks_kind()))
            else:
                wish = self._of_relation()
                clerks[wish.relation % CLERKS].append(wish)
        if number == 1:  # in every history somebody dies while the others carry on
            clerk = self._chance.choice(clerks)
            clerk.insert(self._chance.randint(0, len(clerk)), self._of_clerk("die"))
        return Phase(after, visit, [*(it for of in desks.values() for it in of), *citizens, *clerks])

    def _of_hospital(self, hospital: str, visit: str) -> Wish:
        kinds = {"settle": 34, "hold": 12, "preview": 9, "as previewed": 4, "batch": 3, "stream": 3}
        about = {"use": 10, "cancel": 4, "reverse": 9, "resettle": 10, "again": 5}
        all_mine = [wish for wish in self._bills if wish.hospital == hospital]
        mine = all_mine[-25:]
        chosen = kinds | about if mine else kinds
        (kind,) = self._chance.choices(list(chosen), list(chosen.values()))
        if kind in {"batch", "stream"}:
            items = tuple(self._bill("settle", hospital, visit) for _ in range(self._chance.randint(2, 6)))
            return self._wish(kind, hospital=hospital, items=items)
        if kind in kinds:
            return self._bill(kind, hospital, visit)
        held = [wish for wish in mine if wish.kind == "hold"]
        if kind in {"use", "cancel"}:
            return self._about(kind, self._chance.choice(held)) if held else self._bill("hold", hospital, visit)
        is_late = kind in {"reverse", "resettle"} and self._chance.random() < 0.5
        return self._about(kind, self._chance.choice((self._late(all_mine) if is_late else []) or mine))

    def _late(self, bills: list[Wish]) -> list[Wish]:
        """Those that whoever closes an account may have paid while there was money: the refund comes late."""
        patients = {each.patient for each in self._families.relations if each.payer in self._closing}
        return [wish for wish in bills[: len(bills) // 3] if wish.patient in patients]

    def _bill(self, kind: str, hospital: str, visit: str) -> Wish:
        wish = self._wish(kind, hospital=hospital, visit=visit, **self._need())
        if kind != "preview":
            self._bills.append(wish)
        return wish

    def _need(self) -> dict[str, Any]:
        chance = self._chance
        return {
            "patient": chance.choice(self._families.patients),
            "amount": chance.randint(1, MOST_FEN),
            "own": chance.random() < 0.5,
            "aid": chance.random() < 0.9,
        }

    def _about(self, kind: str, of: Wish) -> Wish:
        waits = kind in {"use", "cancel"} or self._chance.random() < 0.6
        need = {"patient": of.patient, "visit": of.visit, "own": of.own, "aid": of.aid, "amount": of.amount}
        if kind == "resettle":
            need |= {**self._need(), "patient": of.patient}
        elif kind == "use" and self._chance.random() < 0.1:
            need["amount"] = of.amount + 1
        wish = self._wish(kind, hospital=of.hospital, of=of, waits=waits, **need)
        if kind == "resettle":
            self._bills.append(wish)
        return wish

    def _of_citizen(self) -> Wish:
        if self._premiums and self._chance.random() < 0.4:
            of = self._chance.choice(self._premiums)
            kind = self._chance.choice(["refund", "refund", "pay again"])
            return self._wish(kind, payer=of.payer, patient=of.patient, year=of.year, of=of, waits=kind == "refund")
        relation = self._chance.choice(self._families.relations)
        patient = relation.patient if self._chance.random() < 0.9 else self._chance.choice(self._families.residents)
        year = self._chance.choice(list(PREMIUMS))
        wish = self._wish("premium", payer=relation.payer, patient=patient, year=year)
        self._premiums.append(wish)
        return wish

    def _clerks_kind(self) -> str:
        kinds = {
            "freeze": 15,
            "unfreeze": 30,
            "contribute": 25,
            "arrears": 9,
            "catch up": 13,
            "close": 11,
            "pay out": 10,
        }
        return self._chance.choices(list(kinds), list(kinds.values()))[0]

    def _of_clerk(self, kind: str) -> Wish:
        payer = self._chance.choice(self._families.no_patients if kind == "die" else self._families.employees)
        if kind == "close":
            self._closing.add(payer)
        return self._wish(kind, payer=payer, amount=self._chance.randint(1, 3_000), heirs=self._chance.random() < 0.3)

    def _of_relation(self) -> Wish:
        (kind,) = self._chance.choices(["limits", "suspend", "resume", "unbind"], [50, 20, 28, 2])
        relation = self._chance.randrange(len(self._families.relations))
        return self._wish(kind, relation=relation, limits=some_limits(self._chance) if kind == "limits" else {})

    def _wish(self, kind: str, **what: Any) -> Wish:
        self._number += 1
        return Wish(self._number, kind, **what)
