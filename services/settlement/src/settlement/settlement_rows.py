"""Rows of settlements ⇄ the domain."""

import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any
from uuid import UUID

import asyncpg

from settlement.domain.allocate import Decline, Line, Split
from settlement.domain.bill import Bill, BillItem, InstitutionType, ItemKind, MedicalType
from settlement.domain.decided import Decided, Paid
from settlement.domain.quotes import QuoteState
from settlement.domain.state import (
    Fingerprint,
    Intent,
    Order,
    OrderKind,
    Premium,
    Refund,
    Settlement,
    SettlementState,
    intent_of,
)
from settlement.domain.visit import (
    Designation,
    Enrolment,
    EnrolmentFact,
    InstitutionFacts,
    InsuranceStatus,
    InsuranceType,
    PersonFacts,
)

Rows = Sequence[asyncpg.Record]

_OPTIONAL_AMOUNTS = (
    "fulamt_ownpay_amt_fen",
    "overlmt_selfpay_fen",
    "preselfpay_amt_fen",
    "inscp_scp_amt_fen",
    "act_pay_dedc_fen",
)


def bill_details(bill: Bill) -> str:
    """What of a bill has no column of its own, as JSON."""
    told = {name: getattr(bill, name) for name in _OPTIONAL_AMOUNTS if getattr(bill, name) is not None}
    items = [[int(item.kind), item.amount_fen] for item in bill.items]
    return json.dumps({**told, "items": items}, separators=(",", ":"))


def intent_columns(intents: Sequence[Intent]) -> tuple[list[object], ...]:
    """One array for each column that an intent fills."""
    orders = [intent.order for intent in intents]
    bills = [order.bill for order in orders]
    return (
        [intent.settlement_id for intent in intents],
        [order.fixmedins_code for order in orders],
        [order.msgid for order in orders],
        [intent.fingerprint.version for intent in intents],
        [intent.fingerprint.digest for intent in intents],
        [bill.psn_no for bill in bills],
        [bill.mdtrt_id for bill in bills],
        [int(bill.med_type) for bill in bills],
        [bill.medfee_sumamt_fen for bill in bills],
        [bill.fund_pay_sumamt_fen for bill in bills],
        [bill.psn_part_amt_fen for bill in bills],
        [bill.hosp_part_amt_fen for bill in bills],
        [bill_details(bill) for bill in bills],
        [order.acct_used_flag for order in orders],
        [order.use_mutual_aid for order in orders],
        [order.expected_acct_pay_fen for order in orders],
        [order.expected_acct_mulaid_pay_fen for order in orders],
        [intent.insutype for intent in intents],
        [int(bill.clr_type) for bill in bills],
        [intent.occurred_at for intent in intents],
        [str(order.kind) for order in orders],
        [order.replaces for order in orders],
        [order.premium.year if order.premium else None for order in orders],
        [order.premium.payer_psn_no if order.premium else None for order in orders],
    )


def decided_columns(settlements: Sequence[Settlement]) -> tuple[list[object], ...]:
    """One array for each column of settlements that are decided as they come."""
    intents = [intent_of(settlement) for settlement in settlements]
    return (
        *intent_columns(intents),
        [intent.order.quote_id for intent in intents],
        *outcome_columns(settlements)[1:],
    )


def outcome_columns(settlements: Sequence[Settlement]) -> tuple[list[object], ...]:
    """One array for each column that a move of the state machine fills."""
    splits = [settlement.split for settlement in settlements]
    return (
        [settlement.settlement_id for settlement in settlements],
        [str(settlement.state) for settlement in settlements],
        [settlement.reason for settlement in settlements],
        [settlement.setl_time for settlement in settlements],
        [settlement.reversed_at for settlement in settlements],
        [split.acct_pay_fen if split else None for split in splits],
        [split.acct_mulaid_pay_fen if split else None for split in splits],
        [split.psn_cash_pay_fen if split else None for split in splits],
        [split.own_balance_after_fen if split else None for split in splits],
        [settlement.replaced_by for settlement in settlements],
        [settlement.reason_window for settlement in settlements],
    )


def settlement_of(row: asyncpg.Record, lines: Rows = (), declines: Rows = (), refunds: Rows = ()) -> Settlement:
    """The settlement of a row and of its rows in the tables that belong to it."""
    known = row["body_hash"] is not None
    return Settlement(
        settlement_id=row["id"],
        fixmedins_code=row["fixmedins_code"],
        msgid=row["msgid"],
        state=SettlementState(row["state"]),
        reason=row["reason"],
        reason_window=row["reason_window"],
        order=order_of(row) if known else None,
        fingerprint=Fingerprint(row["hash_version"], bytes(row["body_hash"])) if known else None,
        insutype=InsuranceType(row["insutype"]) if row["insutype"] else None,
        occurred_at=row["occurred_at"],
        split=split_of(row, lines, declines) if row["setl_time"] else None,
        setl_time=row["setl_time"],
        reversed_at=row["reversed_at"],
        refunds=tuple(
            Refund(refund["psn_no"], refund["amount_fen"], refund["balance_after_fen"]) for refund in refunds
        ),
        replaced_by=row["replaced_by"],
    )


def order_of(row: asyncpg.Record) -> Order:
    """What was ordered."""
    return Order(
        fixmedins_code=row["fixmedins_code"],
        msgid=row["msgid"],
        bill=_bill(row),
        acct_used_flag=row["acct_used_flag"],
        use_mutual_aid=row["use_mutual_aid"],
        expected_acct_pay_fen=row["expected_acct_pay_fen"],
        expected_acct_mulaid_pay_fen=row["expected_acct_mulaid_pay_fen"],
        kind=OrderKind(row["kind"]),
        quote_id=row["quote_id"],
        replaces=row["replaces"],
        premium=Premium(row["premium_year"], row["premium_payer_psn_no"]) if row["premium_year"] else None,
    )


def _bill(row: asyncpg.Record) -> Bill:
    details: dict[str, Any] = json.loads(row["bill_details"])
    return Bill(
        psn_no=row["psn_no"],
        mdtrt_id=row["mdtrt_id"],
        med_type=MedicalType(row["med_type"]),
        medfee_sumamt_fen=row["medfee_sumamt_fen"],
        fund_pay_sumamt_fen=row["fund_pay_sumamt_fen"],
        psn_part_amt_fen=row["psn_part_amt_fen"],
        hosp_part_amt_fen=row["hosp_part_amt_fen"],
        items=tuple(BillItem(ItemKind(kind), amount_fen) for kind, amount_fen in details.pop("items")),
        **details,
    )


def split_of(row: asyncpg.Record, lines: Rows, declines: Rows) -> Split:
    """How it is paid."""
    return Split(
        acct_pay_fen=row["acct_pay_fen"],
        acct_mulaid_pay_fen=row["acct_mulaid_pay_fen"],
        psn_cash_pay_fen=row["psn_cash_pay_fen"],
        own_balance_after_fen=row["own_balance_after_fen"],
        lines=tuple(
            Line(line["payer_psn_no"], line["relation_id"], line["amount_fen"], line["balance_after_fen"])
            for line in lines
        ),
        declines=tuple(
            Decline(decline["payer_psn_no"], decline["reason"], decline["limit_window"]) for decline in declines
        ),
    )


def decided_of(found: Rows, lines: Mapping[Any, Rows]) -> dict[str, list[Decided]]:
    """By patient, what was decided lately, in the order of the rows."""
    decided: dict[str, list[Decided]] = {}
    for row in found:
        paid = tuple(Paid(line["relation_id"], line["amount_fen"]) for line in lines.get(row["id"], ()))
        state = QuoteState(row["state"]) if row["is_quote"] else SettlementState(row["state"])
        outcome = Decided(row["id"], state, row["occurred_at"], paid)
        decided.setdefault(row["psn_no"], []).append(outcome)
    return decided


def persons_of(rows: Rows) -> dict[str, PersonFacts]:
    """Facts of persons, from rows of facts joined with their enrolments and sorted by person and first day."""
    persons = {}
    for psn_no, group in groupby(rows, key=itemgetter("psn_no")):
        told = list(group)
        enrolments = tuple(_enrolment_fact(row) for row in told if row["valid_from"] is not None)
        persons[psn_no] = PersonFacts(told[0]["died_on"], enrolments)
    return persons


def _enrolment_fact(row: asyncpg.Record) -> EnrolmentFact:
    status = InsuranceStatus(row["psn_insu_stas"])
    enrolment = Enrolment(InsuranceType(row["insutype"]), status, row["valid_from"], row["valid_to"])
    return EnrolmentFact(enrolment, row["enrolment_as_of"])


def institutions_of(rows: Rows) -> dict[str, InstitutionFacts]:
    """Facts of institutions by fixmedins_code."""
    return {
        row["fixmedins_code"]: InstitutionFacts(
            fixmedins_type=InstitutionType(row["fixmedins_type"]),
            admdvs=row["admdvs"],
            designations=designations_of(row),
            remote_settlement=row["remote_settlement"],
            suspended=row["suspended"],
            as_of=row["as_of"],
        )
        for row in rows
    }


def designations_of(row: asyncpg.Record) -> tuple[Designation, ...]:
    """The periods in two arrays of the same length."""
    periods = zip(row["designations_from"], row["designations_to"], strict=True)
    return tuple(Designation(first, last) for first, last in periods)


def by_settlement(rows: Iterable[asyncpg.Record]) -> Mapping[Any, list[asyncpg.Record]]:
    """Rows of a table that belongs to settlements, by settlement, in their order."""
    grouped: dict[Any, list[asyncpg.Record]] = {}
    for row in rows:
        grouped.setdefault(row["settlement_id"], []).append(row)
    return grouped


Splits = Sequence[tuple[UUID, Split]]
"""Of settlements or quotes, by id."""


def splits_of(settlements: Sequence[Settlement]) -> Splits:
    """The splits of those that have one."""
    return [(settlement.settlement_id, settlement.split) for settlement in settlements if settlement.split]


def line_columns(splits: Splits) -> list[tuple[object, ...]]:
    """The columns of the payers' lines; empty if there are none."""
    return _transposed(
        (owner, place, line.payer_psn_no, line.relation_id, line.amount_fen, line.balance_after_fen)
        for owner, split in splits
        for place, line in enumerate(split.lines)
    )


def decline_columns(splits: Splits) -> list[tuple[object, ...]]:
    """The columns of the declines; empty if there are none."""
    return _transposed(
        (owner, place, decline.payer_psn_no, str(decline.reason), decline.window)
        for owner, split in splits
        for place, decline in enumerate(split.declines)
    )


def refund_columns(settlements: Sequence[Settlement]) -> list[tuple[object, ...]]:
    """The columns of the refunds; empty if there are none."""
    return _transposed(
        (settlement.settlement_id, place, refund.psn_no, refund.amount_fen, refund.balance_after_fen)
        for settlement in settlements
        for place, refund in enumerate(settlement.refunds)
    )


def _transposed(written: Iterable[tuple[object, ...]]) -> list[tuple[object, ...]]:
    return list(zip(*written, strict=True))
