"""Plays the steps of a case and compares what came with what the case says."""

import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from grpc import aio

from gongji.common.v1 import reason_pb2
from gongji.identity.v1 import person_pb2
from gongji.settlement.v1 import premium_pb2, settlement_pb2
from gongji_local.cases.script import BILL_AMOUNTS, Case, Step, Words, fen, limits_fen, moment, truth
from gongji_local.cases.world import World, limits
from gongji_local.client import Hospital, msgid, reason_of
from kit.clock import shanghai_date

_KEPT: Final = frozenset({"AMOUNT_CHANGED", "ABANDONED", "MSGID_REUSED"})
"""Refusals that leave a record under the msgid, or had one before."""
_CODE_OF_NOT_INSURED: Final = "0"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a step gave: an answer in the case's words, or the reason of its refusal."""

    answer: Mapping[str, object]
    refused: str | None = None


@dataclass(slots=True)
class _Sent:
    """A settlement request by its name in the case, so that it can be sent again."""

    msgid: str
    mdtrt_id: str
    patient: str = ""
    answer: settlement_pb2.Settlement | None = None
    reversal: settlement_pb2.Settlement | None = None


@dataclass(frozen=True, slots=True)
class _Held:
    """A held preview by its name in the case; its settlement is of the same visit."""

    quote_id: str
    mdtrt_id: str


class Player:
    """One case being played."""

    def __init__(self, world: World, case: Case) -> None:
        self._world = world
        self._case = case
        self._sent: dict[str, _Sent] = {}
        self._quotes: dict[str, _Held] = {}
        self._payments: dict[str, str] = {}
        self._premiums: dict[str, premium_pb2.Premium] = {}
        self._steps: Mapping[str, Callable[[Words], Awaitable[Outcome]]] = {
            "settle": self._settle,
            "preview": self._preview,
            "reverse": self._reverse,
            "resettle": self._resettle,
            "premium": self._premium,
            "refund_premium": self._refund_premium,
            "unbind": self._unbind,
            "suspend": self._suspend,
            "limits": self._limits,
            "freeze": self._freeze,
            "unfreeze": self._unfreeze,
            "enrolment": self._enrolment,
            "death": self._death,
            "filing": self._filing,
            "clock": self._clock,
        }

    async def play(self) -> list[str]:
        """Everything in which the services did otherwise than the case says; empty when nothing was."""
        for number, step in enumerate(self._case.steps, start=1):
            problems = await self._play(step)
            if problems:  # what follows builds on it and would only repeat the news
                return [f"step {number} ({step.kind}): {problem}" for problem in problems]
        return []

    async def _play(self, step: Step) -> list[str]:
        before = await self._accounts() if step.refused else {}
        outcome = await self._outcome(step)
        if outcome.refused != step.refused:
            return [f"refused: {outcome.refused}, the case says {step.refused}"]
        if step.refused:
            return await self._nothing_written(before, step)
        return differences(outcome.answer, step.expect or {})

    async def _outcome(self, step: Step) -> Outcome:
        try:
            return await self._steps[step.kind](step.words)
        except aio.AioRpcError as error:
            reason = reason_of(error)
            if reason is None:
                raise
            return Outcome({}, reason)

    async def _nothing_written(self, before: Mapping[str, int], step: Step) -> list[str]:
        after = await self._accounts()
        problems = [f"was refused and moved {name}'s account" for name in before if before[name] != after[name]]
        sent = self._sent.get(step.words.get("msgid", ""))
        if sent is not None and step.refused not in _KEPT:
            try:
                await self._hospital(step.words).settlement_by_msgid(sent.msgid)
            except aio.AioRpcError as error:
                if reason_of(error) != "NOT_FOUND":
                    raise
            else:
                problems.append("was refused and left a record")
        return problems

    async def _accounts(self) -> dict[str, int]:
        """The version of every account, which counts whatever happened to it."""
        holders = self._world.account_holders()
        return {name: (await self._world.operator.account(self._psn_no(name))).version for name in holders}

    # steps of a HIS

    async def _settle(self, words: Words) -> Outcome:
        sent = self._request_of(words.get("msgid") or uuid.uuid4().hex, words)
        hospital = self._hospital(words)
        held = self._quotes[words["quote"]] if "quote" in words else None
        request = settlement_pb2.SettleRequest(
            fixmedins_code=hospital.fixmedins_code,
            msgid=sent.msgid,
            quote_id=held.quote_id if held else "",
            bill=self._bill(words, held.mdtrt_id if held else sent.mdtrt_id),
            visit_credential=await self._credential(hospital, words),
            acct_used_flag=truth(words.get("acct_used_flag", "true")),
            use_mutual_aid=truth(words.get("use_mutual_aid", "true")),
        )
        _expecting(request, words)
        sent.patient = words["patient"]
        settlement = await hospital.settle(request)
        same = sent.answer is not None and sent.answer == settlement
        sent.answer = sent.answer or settlement
        return Outcome({**self._split(settlement.split), "same_answer": same})

    async def _resettle(self, words: Words) -> Outcome:
        original = self._request_of(words["of"], words)
        sent = self._request_of(words.get("msgid") or uuid.uuid4().hex, words)
        sent.patient = original.patient
        hospital = self._hospital(words)
        request = settlement_pb2.ResettleRequest(
            fixmedins_code=hospital.fixmedins_code,
            msgid=sent.msgid,
            original_msgid=original.msgid,
            bill=self._bill({"patient": original.patient, **words}, original.mdtrt_id),
            acct_used_flag=truth(words.get("acct_used_flag", "true")),
            use_mutual_aid=truth(words.get("use_mutual_aid", "true")),
        )
        _expecting(request, words)
        settlement = (await hospital.resettle(request)).settlement
        same = sent.answer is not None and sent.answer == settlement
        sent.answer = sent.answer or settlement
        return Outcome({**self._split(settlement.split), "same_answer": same})

    async def _preview(self, words: Words) -> Outcome:
        hospital, mdtrt_id = self._hospital(words), _new_visit()
        holds = truth(words.get("hold", "false"))
        preview = await hospital.preview(
            self._bill(words, mdtrt_id),
            await self._credential(hospital, words),
            acct_used_flag=truth(words.get("acct_used_flag", "true")),
            use_mutual_aid=truth(words.get("use_mutual_aid", "true")),
            hold_under=msgid(hospital.fixmedins_code, self._world.stack.now()) if holds else "",
        )
        if preview.HasField("quote"):
            self._quotes[words.get("name", "")] = _Held(preview.quote.quote_id, mdtrt_id)
        return Outcome(self._split(preview.split), _reason(preview.refusal) or None)

    async def _reverse(self, words: Words) -> Outcome:
        sent = self._request_of(words["of"], words)
        settlement = await self._hospital(words).reverse_by_msgid(sent.msgid, at=self._world.stack.now())
        same = sent.reversal is not None and sent.reversal == settlement
        sent.reversal = sent.reversal or settlement
        refunds = [[self._name(refund.psn_no), refund.amount, refund.balance_after] for refund in settlement.refunds]
        state = settlement_pb2.SettlementState.Name(settlement.state).removeprefix("SETTLEMENT_STATE_")
        return Outcome({"state": state, "refunds": refunds, "same_answer": same})

    def _request_of(self, name: str, words: Words) -> _Sent:
        if name not in self._sent:
            code = self._hospital(words).fixmedins_code
            self._sent[name] = _Sent(msgid(code, self._world.stack.now()), _new_visit())
        return self._sent[name]

    def _hospital(self, words: Words) -> Hospital:
        return self._world.hospitals[words.get("at", "hospital")]

    async def _credential(self, hospital: Hospital, words: Words) -> str:
        patient = self._world.persons[words["patient"]]
        identified = await hospital.identify_by_identity_card(patient.certno, patient.psn_name)
        return identified.visit_credential

    def _bill(self, words: Words, mdtrt_id: str) -> settlement_pb2.Bill:
        amounts = {word: fen(words[word]) for word in BILL_AMOUNTS if word in words}
        items = [
            settlement_pb2.BillItem(
                kind=settlement_pb2.ItemKind.Value(f"ITEM_KIND_{item['kind'].upper()}"), amount=fen(item["amount"])
            )
            for item in words.get("items", [])
        ]
        return settlement_pb2.Bill(
            psn_no=self._psn_no(words.get("bill_of", words["patient"])),
            mdtrt_id=mdtrt_id,
            med_type=settlement_pb2.MedicalType.ValueType(int(words.get("med_type", "11"))),
            items=items,
            **amounts,
        )

    def _split(self, split: settlement_pb2.Split) -> dict[str, object]:
        return {
            "acct_pay": split.acct_pay,
            "acct_mulaid_pay": split.acct_mulaid_pay,
            "psn_cash_pay": split.psn_cash_pay,
            "own_balance_after": split.balc if split.HasField("balc") else None,
            "lines": [[self._name(line.payer_psn_no), line.amount, line.balance_after] for line in split.lines],
            "declines": [self._decline(decline) for decline in split.declines],
        }

    def _decline(self, decline: settlement_pb2.Decline) -> list[object]:
        window = settlement_pb2.LimitWindow.Name(decline.window).removeprefix("LIMIT_WINDOW_").lower()
        told = [self._name(decline.payer_psn_no), _reason(decline.reason)]
        return [*told, window] if decline.window else [*told]

    # premiums; a payment that is sent again under its name has its former id

    async def _premium(self, words: Words) -> Outcome:
        name = words.get("msgid") or uuid.uuid4().hex
        payment_id = self._payments.setdefault(name, str(uuid.uuid4()))
        payer = self._world.portal(words["payer"])
        premium = await payer.pay_premium(self._psn_no(words["insured"]), int(words["year"]), payment_id)
        same = self._premiums.get(name) == premium
        self._premiums.setdefault(name, premium)
        return Outcome({"paid": premium.amount, "balance_after": premium.balance_after, "same_answer": same})

    async def _refund_premium(self, words: Words) -> Outcome:
        premium = await self._world.portal(words["by"]).refund_premium(self._premiums[words["of"]].premium_id)
        state = settlement_pb2.SettlementState.Name(premium.state).removeprefix("SETTLEMENT_STATE_")
        return Outcome({"state": state, "balance_after": premium.balance_after_refund})

    # steps of families and operators; each takes effect elsewhere by an event, so the world is let become quiet

    async def _unbind(self, words: Words) -> Outcome:
        await self._world.portal(words["payer"]).unbind(self._relation_id(words))
        return await self._settled_down()

    async def _suspend(self, words: Words) -> Outcome:
        await self._world.operator.suspend_relation(self._relation_id(words), "case")
        return await self._settled_down()

    async def _limits(self, words: Words) -> Outcome:
        wanted = limits(limits_fen(words["limits"]))
        await self._world.portal(words["payer"]).change_limits(self._relation_id(words), wanted)
        return await self._settled_down()

    async def _freeze(self, words: Words) -> Outcome:
        await self._world.operator.freeze_account(self._psn_no(words["person"]), "case")
        return await self._settled_down()

    async def _unfreeze(self, words: Words) -> Outcome:
        await self._world.operator.unfreeze_account(self._psn_no(words["person"]), "case")
        return await self._settled_down()

    async def _enrolment(self, words: Words) -> Outcome:
        standing = words.get("psn_insu_stas", "1")
        number = person_pb2.INSURANCE_STATUS_NOT_INSURED if standing == _CODE_OF_NOT_INSURED else int(standing)
        person = self._world.persons[words["person"]]
        enrolment = person.enrolment(
            psn_insu_stas=person_pb2.InsuranceStatus.ValueType(number),
            arrears=truth(words.get("arrears", "false")),
            valid_from=self._today(),
        )
        await self._world.operator.record_enrolment(person.psn_no, enrolment)
        return await self._settled_down()

    async def _death(self, words: Words) -> Outcome:
        await self._world.operator.record_death(self._psn_no(words["person"]), self._today().isoformat())
        return await self._settled_down()

    async def _filing(self, words: Words) -> Outcome:
        psn_no = self._psn_no(words["person"])
        await self._world.operator.file_remote_care(psn_no, words["admdvs"], words["from"], words.get("to", ""))
        return await self._settled_down()

    async def _clock(self, words: Words) -> Outcome:
        self._world.stack.move_clock(moment(words["to"]))
        return Outcome({})

    async def _settled_down(self) -> Outcome:
        await self._world.quiet()
        return Outcome({})

    def _relation_id(self, words: Words) -> str:
        return self._world.relation_ids[words["payer"], words["beneficiary"]]

    def _psn_no(self, name: str) -> str:
        return self._world.persons[name].psn_no

    def _name(self, psn_no: str) -> str:
        return self._world.name_of(psn_no)

    def _today(self) -> date:
        return shanghai_date(self._world.stack.now())


def _expecting(request: settlement_pb2.SettleRequest | settlement_pb2.ResettleRequest, words: Words) -> None:
    for word in ("expected_acct_pay", "expected_acct_mulaid_pay"):
        if word in words:
            setattr(request, word, fen(words[word]))


def differences(answer: Mapping[str, object], expect: Words) -> list[str]:
    """Where the answer is not what was expected; only what is expected is compared."""
    wanted = {word: _expected(word, value) for word, value in expect.items()}
    return [
        f"{word} is {answer.get(word)!r}, the case says {value!r}"
        for word, value in wanted.items()
        if word not in answer or answer[word] != value
    ]


def _expected(word: str, value: Any) -> object:
    if word in ("lines", "refunds"):
        return [[name, *(fen(amount) for amount in amounts)] for name, *amounts in value]
    if word in ("declines", "state"):
        return value
    return truth(value) if word == "same_answer" else fen(value)


def _reason(value: reason_pb2.Reason.ValueType) -> str:
    return reason_pb2.Reason.Name(value).removeprefix("REASON_") if value else ""


def _new_visit() -> str:
    return f"V{uuid.uuid4().hex[:24]}"
