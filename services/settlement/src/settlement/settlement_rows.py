"""Rows of settlements ⇄ the domain."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from itertools import groupby
from operator import itemgetter
from typing import Any, Final
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
Row = tuple[object, ...]
"""What is handed over as one row of a type that the database has for it."""

_OPTIONAL_AMOUNTS = (
    "fulamt_ownpay_amt_fen",
    "overlmt_selfpay_fen",
    "preselfpay_amt_fen",
    "inscp_scp_amt_fen",
    "act_pay_dedc_fen",
)


def bill_details(bill: Bill) -> str:
    """What of a bill has no column of its own, as JSON."""
    told: dict[str, object] = {"items": [[int(item.kind), item.amount_fen] for item in bill.items]}
    for name in _OPTIONAL_AMOUNTS:
        if (amount_fen := getattr(bill, name)) is not None:
            told[name] = amount_fen
    return _ENCODER.encode(told)


# Made once: making one costs more than what it does for a bill.
_ENCODER: Final = json.JSONEncoder(separators=(",", ":"))


def intent_rows(intents: Iterable[Intent]) -> list[Row]:
    """Of the type `new_intent`."""
    return [_intent_row(intent, intent.order, intent.order.bill, intent.order.premium) for intent in intents]


def _intent_row(intent: Intent, order: Order, bill: Bill, premium: Premium | None) -> Row:
    return (
        intent.settlement_id,
        order.fixmedins_code,
        order.msgid,
        intent.fingerprint.version,
        intent.fingerprint.digest,
        bill.psn_no,
        bill.mdtrt_id,
        bill.med_type,
        bill.medfee_sumamt_fen,
        bill.fund_pay_sumamt_fen,
        bill.psn_part_amt_fen,
        bill.hosp_part_amt_fen,
        bill_details(bill),
        order.acct_used_flag,
        order.use_mutual_aid,
        order.expected_acct_pay_fen,
        order.expected_acct_mulaid_pay_fen,
        intent.insutype,
        bill.clr_type,
        intent.occurred_at,
        order.kind,
        order.quote_id,
        order.replaces,
        premium.year if premium else None,
        premium.payer_psn_no if premium else None,
        intent.jti,
    )


def outcome_rows(settlements: Iterable[Settlement]) -> list[Row]:
    """Of the type `new_outcome`: what a move of the state machine fills."""
    return [_outcome_row(settlement, settlement.split) for settlement in settlements]


def _outcome_row(settlement: Settlement, split: Split | None) -> Row:
    return (
        settlement.settlement_id,
        settlement.state,
        settlement.reason,
        settlement.reason_window,
        settlement.setl_time,
        settlement.reversed_at,
        split.acct_pay_fen if split else None,
        split.acct_mulaid_pay_fen if split else None,
        split.psn_cash_pay_fen if split else None,
        split.own_balance_after_fen if split else None,
        settlement.replaced_by,
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


def decided_of(found: Iterable[asyncpg.Record]) -> dict[str, list[Decided]]:
    """By patient, what was decided lately, in the order of the rows."""
    decided: dict[str, list[Decided]] = {}
    for row in found:
        paid = tuple(Paid(relation_id, amount_fen) for relation_id, amount_fen in row["paid"])
        state = QuoteState(row["state"]) if row["is_quote"] else SettlementState(row["state"])
        outcome = Decided(row["id"], state, row["occurred_at"], paid)
        decided.setdefault(row["psn_no"], []).append(outcome)
    return decided


def persons_of(rows: Iterable[Any]) -> dict[str, PersonFacts]:
    """Facts of persons, from rows of facts joined with their enrolments and sorted by person and first day."""
    persons = {}
    for psn_no, group in groupby(rows, key=itemgetter(0)):
        told = list(group)
        enrolments = tuple(_enrolment_fact(*row[2:]) for row in told if row[_VALID_FROM] is not None)
        persons[psn_no] = PersonFacts(told[0][1], enrolments)
    return persons


_VALID_FROM: Final = 4


def _enrolment_fact(
    insutype: int, status: int, valid_from: date, valid_to: date | None, as_of: datetime
) -> EnrolmentFact:
    enrolment = Enrolment(InsuranceType(insutype), InsuranceStatus(status), valid_from, valid_to)
    return EnrolmentFact(enrolment, as_of)


def institutions_of(rows: Iterable[Any]) -> dict[str, InstitutionFacts]:
    """Facts of institutions by fixmedins_code, from a row for each period of designation, sorted by institution."""
    return {code: _institution_facts(list(group)) for code, group in groupby(rows, key=itemgetter(0))}


def _institution_facts(told: Sequence[Any]) -> InstitutionFacts:
    _, fixmedins_type, admdvs, remote_settlement, suspended, as_of, *_ = told[0]
    return InstitutionFacts(
        fixmedins_type=InstitutionType(fixmedins_type),
        admdvs=admdvs,
        designations=tuple(Designation(*row[_FIRST_DAY:]) for row in told if row[_FIRST_DAY] is not None),
        remote_settlement=remote_settlement,
        suspended=suspended,
        as_of=as_of,
    )


_FIRST_DAY: Final = 6


def by_settlement(rows: Iterable[asyncpg.Record]) -> Mapping[Any, list[asyncpg.Record]]:
    """Rows of a table that belongs to settlements, by settlement, in their order."""
    grouped: dict[Any, list[asyncpg.Record]] = {}
    for row in rows:
        grouped.setdefault(row["settlement_id"], []).append(row)
    return grouped


Splits = Sequence[tuple[UUID, Split]]
"""Of settlements or quotes, by id."""


def splits_of(settlements: Iterable[Settlement]) -> Splits:
    """The splits of those that have one."""
    return [(settlement.settlement_id, settlement.split) for settlement in settlements if settlement.split]


def line_rows(splits: Splits) -> list[Row]:
    """Of the type `new_line`: what payers pay."""
    return [
        (owner, place, line.payer_psn_no, line.relation_id, line.amount_fen, line.balance_after_fen)
        for owner, split in splits
        for place, line in enumerate(split.lines)
    ]


def decline_rows(splits: Splits) -> list[Row]:
    """Of the type `new_decline`: why payers do not."""
    return [
        (owner, place, decline.payer_psn_no, decline.reason, decline.window)
        for owner, split in splits
        for place, decline in enumerate(split.declines)
    ]


def refund_rows(settlements: Iterable[Settlement]) -> list[Row]:
    """Of the type `new_refund`: what was given back."""
    return [
        (settlement.settlement_id, place, refund.psn_no, refund.amount_fen, refund.balance_after_fen)
        for settlement in settlements
        for place, refund in enumerate(settlement.refunds)
    ]
