"""What hospitals and payers sent, and what they were told of it: all that they know when something has broken."""

from dataclasses import dataclass, field

from gongji.settlement.v1 import premium_pb2
from gongji.settlement.v1 import settlement_pb2 as pb2

Request = (
    pb2.SettleRequest | pb2.ReverseRequest | pb2.ResettleRequest | pb2.PreSettleRequest | premium_pb2.PayPremiumRequest
)
Answer = pb2.Settlement | pb2.Quote | premium_pb2.Premium


@dataclass(slots=True)
class Sent:
    """One request under one key, and what is known of it."""

    request: Request
    answer: Answer | None = None
    refusal: str | None = None
    replaced_by: str = ""
    """msgid of the request that settled this one's bill again, once that was acknowledged."""
    was_reversed: bool = False
    """Whether a reversal of it was acknowledged."""
    is_used: bool = False
    """Of a preview that holds: whether it was settled, or tried to."""
    is_of_batch: bool = False

    @property
    def key(self) -> str:
        """What makes it idempotent: its msgid; of a premium the payment_id."""
        request = self.request
        return request.payment_id if isinstance(request, premium_pb2.PayPremiumRequest) else request.msgid

    @property
    def is_final(self) -> bool:
        """Whether the sender knows what became of it."""
        return self.answer is not None or self.refusal is not None

    @property
    def is_bill(self) -> bool:
        """Whether it settles a bill, for the first time or again."""
        return isinstance(self.request, pb2.SettleRequest | pb2.ResettleRequest)

    @property
    def stands(self) -> bool:
        """Whether it was acknowledged, and nothing that undoes it was."""
        return self.answer is not None and not (self.was_reversed or self.replaced_by)

    @property
    def taken(self) -> tuple[str, int, int, int] | None:
        """The id of what was settled, and what own account, mutual aid and the patient's purse gave for it, fen."""
        if isinstance(self.answer, premium_pb2.Premium):
            return self.answer.premium_id, 0, self.answer.amount, 0
        if isinstance(self.answer, pb2.Settlement) and self.is_bill:
            split = self.answer.split
            return self.answer.setl_id, split.acct_pay, split.acct_mulaid_pay, split.psn_cash_pay
        return None


@dataclass(slots=True)
class Told:
    """Everything that was sent in all rounds."""

    sent: dict[str, Sent] = field(default_factory=dict)
    """By key, in the order in which they were sent first."""
    of_patients: dict[str, list[Sent]] = field(default_factory=dict)
    """By the patient, bills and previews."""
    contradictions: list[str] = field(default_factory=list)
    """Answers that are not those given before under the same key."""

    @property
    def acknowledged(self) -> list[Sent]:
        """Settlements and premiums that were answered as settled."""
        return [each for each in self.sent.values() if each.taken is not None]

    @property
    def held(self) -> list[Sent]:
        """Previews that were answered as held."""
        return [each for each in self.sent.values() if isinstance(each.answer, pb2.Quote)]

    @property
    def unknown(self) -> list[Sent]:
        """Requests whose outcome the sender does not know."""
        return [each for each in self.sent.values() if not each.is_final]

    @property
    def by_kind(self) -> dict[str, int]:
        """How much of everything was acknowledged: a load that leaves something out proves nothing of it."""
        settled = self.acknowledged
        return {
            "bills settled again": sum(isinstance(each.request, pb2.ResettleRequest) for each in settled),
            "held previews": len(self.held),
            "bills by such": sum(
                isinstance(each.request, pb2.SettleRequest) and bool(each.request.quote_id) for each in settled
            ),
            "bills by batch": sum(each.is_of_batch for each in settled),
            "paid by own accounts": sum(each.taken is not None and each.taken[1] > 0 for each in settled),
            "premiums": sum(isinstance(each.request, premium_pb2.PayPremiumRequest) for each in settled),
            "reversals": sum(
                isinstance(each.request, pb2.ReverseRequest) and each.answer is not None for each in self.sent.values()
            ),
        }

    def remember(self, request: Request) -> Sent:
        """That this is about to be sent for the first time."""
        sent = Sent(request)
        self.sent[sent.key] = sent
        if isinstance(request, pb2.SettleRequest | pb2.ResettleRequest | pb2.PreSettleRequest):
            self.of_patients.setdefault(request.bill.psn_no, []).append(sent)
        return sent

    def learn(self, sent: Sent, answer: Answer) -> None:
        """An acknowledgement."""
        if sent.answer is not None and _kernel(sent.answer) != _kernel(answer):
            self.contradictions.append(f"{sent.key} was answered {_kernel(sent.answer)} and then {_kernel(answer)}")
        if sent.refusal is not None:
            self.contradictions.append(f"{sent.key} was refused with {sent.refusal}, and then answered")
        sent.answer = answer
        if isinstance(sent.request, pb2.ReverseRequest):
            self.sent[sent.request.original_msgid].was_reversed = True
        elif isinstance(sent.request, pb2.ResettleRequest):
            self.sent[sent.request.original_msgid].replaced_by = sent.key

    def learn_refusal(self, sent: Sent, reason: str) -> None:
        """A refusal that says what became of the request."""
        if sent.answer is not None:
            self.contradictions.append(f"{sent.key} was answered, and then refused with {reason}")
        sent.refusal = sent.refusal or reason


def _kernel(answer: Answer) -> str:
    """What must be the same whenever it is told."""
    if isinstance(answer, premium_pb2.Premium):
        return f"{answer.premium_id}: {answer.amount} fen under {answer.relation_id}"
    number = answer.quote_id if isinstance(answer, pb2.Quote) else answer.setl_id
    return f"{number}: {answer.split}"
