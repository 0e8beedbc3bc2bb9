"""Who is told what (R15): every debit, refund, freeze and application step → payer; approvals and ends → both sides.

An end that is near and a coming of age are told to both sides, too (R4).

Complete sentences that a family understands. A debit for one's own bill has other words than mutual aid (家庭共济).
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final, assert_never

from notify.domain import facts
from notify.domain.wording import because, beneficiary, day, moment, person, terms, yuan


class Category(Enum):
    """What a message is about."""

    BALANCE = "BALANCE"
    ACCOUNT = "ACCOUNT"
    APPLICATION = "APPLICATION"
    RELATION = "RELATION"


@dataclass(frozen=True, slots=True)
class Notice:
    """A message to one person."""

    addressee: str
    """psn_no."""
    category: Category
    title: str
    """Names no person and no amount: delivery channels and logs may show it."""
    body: str


_IF_NOT_YOU: Final = "如对本次支付有疑问，请联系就医机构或当地医保经办机构。"
_END_WORDS: Final = {
    facts.EndCause.UNBOUND: "已由一方解除",
    facts.EndCause.EXPIRED: "因有效期届满而终止",
    facts.EndCause.PAYER_DIED: "因授权人离世而终止",
    facts.EndCause.BENEFICIARY_DIED: "因使用人离世而终止",
    facts.EndCause.PAYER_ENROLMENT_LOST: "因授权人的职工医保参保状态或参保地变化而终止",
    facts.EndCause.BENEFICIARY_ENROLMENT_LOST: "因使用人的参保状态或参保地变化而终止",
    facts.EndCause.OTHER: "已终止",
}


def notices(fact: facts.Fact) -> tuple[Notice, ...]:
    """The messages about a fact, the payer's first."""
    match fact:
        case facts.Debited():  # nearly all are
            return (_account(fact),)
        case (
            facts.Submitted()
            | facts.Returned()
            | facts.Rejected()
            | facts.Consented()
            | facts.Withdrawn()
            | facts.LapsedDraft()
        ):
            return (_application(fact),)
        case facts.Activated() | facts.Ended() | facts.Expiring() | facts.ComesOfAge():
            return _both_sides(fact)
        case facts.PremiumPaid() | facts.PremiumRefunded():
            return (_premium(fact),)
        case facts.Resumed() | facts.Changed() | facts.Suspended() | facts.LimitNearlyUsed():
            return (_relation(fact),)
        case _:
            return (_account(fact),)


def _account(fact: facts.AccountFact) -> Notice:
    match fact:
        case facts.Debited(movement):
            return _debit(movement)
        case facts.Frozen() | facts.Unfrozen() | facts.Closed():
            return _account_state(fact)
        case facts.Refunded(movement):
            return _refund(movement)
        case facts.Credited():
            return _credit(fact)
        case facts.PaidOut():
            return _paid_out(fact)
    assert_never(fact)


def _account_state(fact: facts.Frozen | facts.Unfrozen | facts.Closed) -> Notice:
    match fact:
        case facts.Frozen(change):
            return _frozen(change)
        case facts.Unfrozen(change):
            return _unfrozen(change)
        case facts.Closed(change):
            return _closed(change)
    assert_never(fact)


def _debit(move: facts.Movement) -> Notice:
    where = f"于{moment(move.at)}在定点医药机构{move.fixmedins_code}就医"
    rest = f"支付后账户余额为{yuan(move.balance_after_fen)}。{_IF_NOT_YOU}"
    if move.is_own_bill:
        body = f"您{where}，使用您本人的个人账户支付{yuan(move.amount_fen)}，{rest}"
        return Notice(move.owner, Category.BALANCE, "个人账户支出提醒", body)
    body = f"您的家人（{person(move.patient)}）{where}，通过家庭共济使用您的个人账户支付{yuan(move.amount_fen)}，{rest}"
    return Notice(move.owner, Category.BALANCE, "共济账户支出提醒", body)


def _refund(move: facts.Movement) -> Notice:
    at, rest = moment(move.at), f"已原路退回您的个人账户，退回后账户余额为{yuan(move.balance_after_fen)}。"
    if move.is_own_bill:
        body = f"您在定点医药机构{move.fixmedins_code}的一笔个人账户支付已于{at}撤销，{yuan(move.amount_fen)}{rest}"
        return Notice(move.owner, Category.BALANCE, "个人账户退款提醒", body)
    body = (
        f"您的家人（{person(move.patient)}）在定点医药机构{move.fixmedins_code}的一笔家庭共济支付已于{at}撤销，"
        f"{yuan(move.amount_fen)}{rest}相应的共济限额也已恢复。"
    )
    return Notice(move.owner, Category.BALANCE, "共济账户退款提醒", body)


def _premium(fact: facts.PremiumFact) -> Notice:
    return _premium_paid(fact.premium) if isinstance(fact, facts.PremiumPaid) else _premium_refunded(fact.premium)


def _premium_paid(premium: facts.Premium) -> Notice:
    body = (
        f"您于{moment(premium.at)}通过家庭共济使用您的个人账户，为家人（{person(premium.insured)}）缴纳{premium.year}年度"
        f"城乡居民基本医疗保险费{yuan(premium.amount_fen)}，缴费后账户余额为{yuan(premium.balance_after_fen)}。"
        "该年度开始前可以申请退费。如非本人操作，请联系当地医保经办机构。"
    )
    return Notice(premium.payer, Category.BALANCE, "居民医保缴费提醒", body)


def _premium_refunded(premium: facts.Premium) -> Notice:
    body = (
        f"您为家人（{person(premium.insured)}）缴纳的{premium.year}年度城乡居民基本医疗保险费已于{moment(premium.at)}退费，"
        f"{yuan(premium.amount_fen)}已原路退回您的个人账户，退回后账户余额为{yuan(premium.balance_after_fen)}。"
        "相应的共济限额也已恢复。"
    )
    return Notice(premium.payer, Category.BALANCE, "居民医保退费提醒", body)


def _credit(fact: facts.Credited) -> Notice:
    what = "利息" if fact.is_interest else ""
    came = f"入账{what}{yuan(fact.amount_fen)}"
    body = f"您的个人账户于{moment(fact.at)}{came}，入账后账户余额为{yuan(fact.balance_after_fen)}。"
    return Notice(fact.owner, Category.BALANCE, "个人账户入账提醒", body)


def _frozen(change: facts.AccountChange) -> Notice:
    body = (
        f"您的个人账户已于{moment(change.at)}冻结，账户余额为{yuan(change.balance_after_fen)}。"
        f"{because(change.reason)}冻结期间，您和您的家人不能使用该账户支付，退款仍会正常退回。"
    )
    return Notice(change.owner, Category.ACCOUNT, "个人账户冻结提醒", body)


def _unfrozen(change: facts.AccountChange) -> Notice:
    body = (
        f"您的个人账户已于{moment(change.at)}解除冻结，账户余额为{yuan(change.balance_after_fen)}。"
        f"{because(change.reason)}您和您的家人可以继续使用该账户支付。"
    )
    return Notice(change.owner, Category.ACCOUNT, "个人账户解冻提醒", body)


def _closed(change: facts.AccountChange) -> Notice:
    body = (
        f"您的个人账户已于{moment(change.at)}注销，账户余额为{yuan(change.balance_after_fen)}。"
        f"{because(change.reason)}注销后，该账户不能再用于支付。"
    )
    return Notice(change.owner, Category.ACCOUNT, "个人账户注销提醒", body)


def _paid_out(fact: facts.PaidOut) -> Notice:
    where = "支付给继承人" if fact.to_heirs else "转出"
    body = f"您的个人账户已注销或正在注销，{yuan(fact.amount_fen)}已于{moment(fact.at)}{where}。{because(fact.reason)}"
    return Notice(fact.owner, Category.BALANCE, "个人账户余额清退提醒", body)


def _application(fact: facts.ApplicationFact) -> Notice:
    about = f"您与{beneficiary(fact.pair)}的家庭共济申请"
    match fact:
        case facts.Submitted():
            title = "共济申请已提交"
            body = f"{about}已于{moment(fact.at)}提交，请等待医保经办机构审核，审核结果将另行通知您。"
        case facts.Consented():
            title = "家人已同意共济申请"
            body = f"{about}已于{moment(fact.at)}由该家人本人确认同意。申请尚未提交的，请您提交审核。"
        case facts.Withdrawn():
            title = "共济申请已撤回"
            body = f"{about}已于{moment(fact.at)}撤回，不再审核。如仍需办理，请重新申请。"
        case facts.LapsedDraft():
            title = "共济申请已失效"
            body = f"{about}未在规定时间内提交，已于{moment(fact.at)}失效。如仍需办理，请重新申请。"
        case facts.Returned():
            title = "共济申请被退回"
            body = f"{about}已于{moment(fact.at)}退回补正。{because(fact.reason)}请补充或更正后重新提交。"
        case facts.Rejected():
            title = "共济申请未通过"
            body = f"{about}于{moment(fact.at)}未通过审核。{because(fact.reason)}如有疑问，请联系当地医保经办机构。"
        case _:
            assert_never(fact)
    return Notice(fact.pair.payer, Category.APPLICATION, title, body)


def _both_sides(fact: facts.Activated | facts.Ended | facts.Expiring | facts.ComesOfAge) -> tuple[Notice, ...]:
    match fact:
        case facts.Activated():
            return (_activated_for_payer(fact), _activated_for_beneficiary(fact))
        case facts.Expiring():
            return (_expiring_for_payer(fact), _expiring_for_beneficiary(fact))
        case facts.ComesOfAge():
            return (_of_age_for_payer(fact), _of_age_for_beneficiary(fact))
        case facts.Ended():
            # Nobody writes to the one who died; the family on the other side is told.
            to_payer = (_ended_for_payer(fact),) if fact.cause is not facts.EndCause.PAYER_DIED else ()
            to_other = (_ended_for_beneficiary(fact),) if fact.cause is not facts.EndCause.BENEFICIARY_DIED else ()
            return to_payer + to_other


def _activated_for_payer(fact: facts.Activated) -> Notice:
    body = (
        f"您与{beneficiary(fact.pair)}的家庭共济申请已通过审核，共济关系于{moment(fact.at)}生效，"
        f"{terms(fact.terms)}。此后该家人就医时，个人负担的费用可以使用您的个人账户支付。"
    )
    return Notice(fact.pair.payer, Category.RELATION, "共济关系已生效", body)


def _activated_for_beneficiary(fact: facts.Activated) -> Notice:
    body = (
        f"您的家人（{person(fact.pair.payer)}）已通过家庭共济授权您使用其个人账户，共济关系于{moment(fact.at)}生效，"
        f"{terms(fact.terms)}。您就医时请出示您本人的医保凭证。"
    )
    return Notice(fact.pair.beneficiary, Category.RELATION, "共济关系已生效", body)


def _ended_for_payer(fact: facts.Ended) -> Notice:
    body = (
        f"您与{beneficiary(fact.pair)}的家庭共济关系{_END_WORDS[fact.cause]}，{_ended_when(fact)}。"
        "此后的就医费用不再使用您的个人账户支付，此前支付的费用如有退款，仍会退回您的账户。"
    )
    return Notice(fact.pair.payer, Category.RELATION, "共济关系已终止", body)


def _ended_for_beneficiary(fact: facts.Ended) -> Notice:
    body = (
        f"您的家人（{person(fact.pair.payer)}）与您的家庭共济关系{_END_WORDS[fact.cause]}，"
        f"{_ended_when(fact)}。此后您的就医费用不再使用该家人的个人账户支付。"
    )
    return Notice(fact.pair.beneficiary, Category.RELATION, "共济关系已终止", body)


def _ended_when(fact: facts.Ended) -> str:
    # The day that counts, not the moment at which it was recorded: that may be days later.
    return f"自{day(fact.ended_from)}起不再有效" if fact.ended_from else f"终止时间为{moment(fact.at)}"


def _expiring_for_payer(fact: facts.Expiring) -> Notice:
    body = (
        f"您与{beneficiary(fact.pair)}的家庭共济关系有效期至{day(fact.valid_to)}（含当日）。"
        "到期后，该家人的就医费用不再使用您的个人账户支付。如需继续共济，请在到期前办理延期。"
    )
    return Notice(fact.pair.payer, Category.RELATION, "共济关系即将到期", body)


def _expiring_for_beneficiary(fact: facts.Expiring) -> Notice:
    body = (
        f"您的家人（{person(fact.pair.payer)}）与您的家庭共济关系有效期至{day(fact.valid_to)}（含当日）。"
        "到期后，您的就医费用不再使用该家人的个人账户支付。如需继续共济，请由该家人在到期前办理延期。"
    )
    return Notice(fact.pair.beneficiary, Category.RELATION, "共济关系即将到期", body)


def _of_age_for_payer(fact: facts.ComesOfAge) -> Notice:
    body = (
        f"{beneficiary(fact.pair)}将于{day(fact.on)}成年。双方的家庭共济关系继续有效，无需重新申请。"
        "自该日起，该家人可以自行调整付款顺序或解除共济关系。"
    )
    return Notice(fact.pair.payer, Category.RELATION, "共济使用人即将成年", body)


def _of_age_for_beneficiary(fact: facts.ComesOfAge) -> Notice:
    body = (
        f"您将于{day(fact.on)}成年。您的家人（{person(fact.pair.payer)}）与您的家庭共济关系继续有效，无需重新申请。"
        "自该日起，您可以自行调整付款顺序或解除共济关系。"
    )
    return Notice(fact.pair.beneficiary, Category.RELATION, "您即将成年", body)


def _relation(fact: facts.Resumed | facts.Changed | facts.Suspended | facts.LimitNearlyUsed) -> Notice:
    about = f"您与{beneficiary(fact.pair)}的家庭共济关系"
    match fact:
        case facts.Resumed():
            title, body = "共济关系已恢复", f"{about}已于{moment(fact.at)}恢复，该家人可以继续使用您的个人账户支付。"
        case facts.Changed():
            changed = f"变更后{terms(fact.terms)}，付款顺序为第{fact.priority}位。"
            title, body = "共济关系已变更", f"{about}已于{moment(fact.at)}变更，{changed}"
        case facts.Suspended():
            paused = "暂停期间，该家人不能使用您的个人账户支付。"
            title, body = "共济关系已暂停", f"{about}已于{moment(fact.at)}暂停。{because(fact.reason)}{paused}"
        case facts.LimitNearlyUsed():
            title, body = "共济限额即将用完", _limit_nearly_used(fact)
        case _:
            assert_never(fact)
    return Notice(fact.pair.payer, Category.RELATION, title, body)


def _limit_nearly_used(fact: facts.LimitNearlyUsed) -> str:
    left_fen = max(0, fact.limit_fen - fact.used_fen)
    return (
        f"截至{moment(fact.at)}，{beneficiary(fact.pair)}的家庭共济限额（{fact.window.value}{yuan(fact.limit_fen)}）"
        f"已使用{yuan(fact.used_fen)}，剩余{yuan(left_fen)}。超出限额的费用需由家人自行支付，您可以在线调整限额。"
    )
