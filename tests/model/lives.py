"""What becomes of persons and their accounts in a replay: arrears, deaths, freezes, closings, money that comes or goes.

Whether identity's word is obeyed is not taken from what the services write: in the end nobody who has died has an open
account or pays for anybody (R14), and what waits on a closed account is all that is on it.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from model.play import Sent
from model.recorder import Change
from support.ledger_model import Ledger, Relation

from gongji.settlement.v1 import account_pb2

STATES: Final = {"FROZEN": "FROZEN", "UNFROZEN": "OPEN"}
ENDED_BY_DEATH: Final = frozenset({"PAYER_DIED", "BENEFICIARY_DIED"})

Row = dict[str, Any]
Expect = Callable[[str, str, object, object], None]
"""Of what, which part, as the model has it and as it was found."""


class Lives:
    """The persons of a history.

    Args:
        ledger: the model.
        by_key: everything that was sent, by the key of the request.
        expect: takes note of what differs.
    """

    def __init__(self, ledger: Ledger, by_key: Mapping[str, list[Sent]], expect: Expect) -> None:
        self._ledger = ledger
        self._by_key = by_key
        self._expect = expect
        self._dead_at_binding: set[str] = set()
        self._turned: dict[str, datetime] = {}
        """When binding last heard that somebody has fallen into arrears, or has caught up."""
        self._waiting: dict[str, int] = {}
        """What refunds that wait to be paid out come to, by closed account."""
        self._paid_out: dict[str, int] = {}
        """By account, what left it when it was closed."""

    # at settlement

    def at_settlement(self, change: Change) -> None:
        """What one row says; those of strangers say nothing."""
        ways: Mapping[str, Callable[[Row], None]] = {
            "account_change": self._changed,
            "contribution": self._credited,
            "payout": self._left,
            "person_fact": self._heard_of,
        }
        if change.what == "closed_refund":
            self._refunded(change)
        elif change.what in ways:
            ways[change.what](change.after)

    def _changed(self, row: Row) -> None:
        psn_no, account = row["psn_no"], self._ledger.accounts.get(row["psn_no"])
        if account is None:
            return
        if row["change"] == "CLOSED":
            self._expect(psn_no, "closing", "", self._ledger.close(psn_no))
        elif row["change"] in STATES:
            state = STATES[row["change"]]
            self._expect(psn_no, "change", True, account.state not in {state, "CLOSED"})
            self._expect(psn_no, "release after death", False, account.dead and state == "OPEN")
            account.state = state

    def _credited(self, row: Row) -> None:
        for sent in self._by_key.get(row["contribution_id"], ()):
            account = self._ledger.accounts[sent.wish.payer]
            self._expect(sent.key, "money for a closed account", False, account.state == "CLOSED")
            account.balance += sent.wish.amount
            self._expect(sent.key, "balance after", account.balance, sent.answer)

    def _left(self, row: Row) -> None:
        account = self._ledger.accounts.get(row["psn_no"])
        if account is None:
            return
        if account.state == "CLOSED":
            account.balance -= row["amount_fen"]
        else:  # the account is closed by the same transaction, which empties it
            self._paid_out[row["psn_no"]] = row["amount_fen"]
            self._expect(row["psn_no"], "payout", account.balance, row["amount_fen"])
        self._expect(row["psn_no"], "heirs", False, row["way"] == "HEIRS" and not account.dead)

    def _refunded(self, change: Change) -> None:
        row = change.row
        is_paid_out = bool(change.after.get("payout_id"))
        self._waiting.setdefault(row["psn_no"], 0)
        self._waiting[row["psn_no"]] += -row["amount_fen"] if is_paid_out else row["amount_fen"]

    def _heard_of(self, row: Row) -> None:
        account = self._ledger.accounts.get(row["psn_no"])
        if account is not None and row["died_on"]:
            account.dead = True

    # at binding

    def at_binding(self, change: Change, at: datetime) -> None:
        """What one row says."""
        account = self._ledger.accounts.get(change.row["psn_no"])
        if account is None:
            return
        if change.what == "person_enrolment":
            account.arrears, self._turned[change.row["psn_no"]] = change.after["arrears"], at
        elif change.after["died_on"]:
            self._dead_at_binding.add(change.row["psn_no"])

    def end(self, relation: Relation) -> None:
        """Binding ends a relation because one of both has died."""
        both = {relation.payer, relation.patient}
        self._expect(
            f"{relation.payer} for {relation.patient}", "death", True, not both.isdisjoint(self._dead_at_binding)
        )
        relation.state = "ENDED"

    def is_in_doubt(self, payer: str, since: datetime) -> bool:
        """Whether somebody turned to or from arrears while their payment was asked for: enrolments are not locked."""
        return self._turned.get(payer, datetime.min.replace(tzinfo=UTC)) > since

    # in the end

    def compare(self, sent: list[Sent]) -> None:
        """What has to hold when everything has been heard."""
        for psn_no, account in self._ledger.accounts.items():
            self._expect(psn_no, "death known to both", account.dead, psn_no in self._dead_at_binding)
            self._expect(psn_no, "open after death", False, account.dead and account.state == "OPEN")
            waiting = self._waiting.get(psn_no, 0)
            self._expect(
                psn_no, "waits on a closed account", account.balance if account.state == "CLOSED" else 0, waiting
            )
        for relation in self._ledger.relations:
            is_alive = self._dead_at_binding.isdisjoint({relation.payer, relation.patient})
            self._expect(relation.payer, "pays after death", False, not is_alive and relation.state != "ENDED")
        told: dict[str, int] = {}
        for each in sent:
            if isinstance(each.answer, account_pb2.CloseAccountResponse) and each.answer.paid_out:
                told[each.wish.payer] = told.get(each.wish.payer, 0) + each.answer.paid_out
        self._expect("accounts", "payouts", self._paid_out, told)
