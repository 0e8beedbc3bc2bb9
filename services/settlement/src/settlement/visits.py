"""Judging visits against what is known: credential, projection, and the visit that a credential belongs to."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from settlement.credentials import CredentialReader
from settlement.domain.bill import Bill
from settlement.domain.reasons import Reason
from settlement.domain.refusal import Visit, decide_refusal
from settlement.domain.visit import InsuranceType, VisitFacts, freshest
from settlement.repository import MsgKey, Seen, Sought


@dataclass(frozen=True, slots=True)
class Presented:
    """A bill at an institution, with the credential that was sent along."""

    fixmedins_code: str
    bill: Bill
    credential: str


@dataclass(frozen=True, slots=True)
class Admitted:
    """A visit that may be settled."""

    jti: str | None
    """Of the credential; None when settling again, which needs none."""
    insutype: InsuranceType | None


class VisitJudge:
    """Says which visits may be settled, several at a time.

    Args:
        credentials: reads what identity has signed.
        home_region_prefix: first digits of the regions in which care needs no filing.
    """

    def __init__(self, credentials: CredentialReader, home_region_prefix: str) -> None:
        self._credentials = credentials
        self._home_region_prefix = home_region_prefix

    def read(self, presented: Iterable[Presented]) -> list[VisitFacts | None]:
        """What each credential carries; None of one that is not believed."""
        return [self._credentials.read(each.credential) for each in presented]

    def judge(
        self, presented: Sequence[Presented], facts: Sequence[VisitFacts | None], seen: Seen, now: datetime
    ) -> list[Admitted | Reason]:
        """For each, that it may be settled, or the first reason why not; `facts` are those of `read`."""
        visits = [
            Visit(
                fixmedins_code=each.fixmedins_code,
                bill=each.bill,
                facts=carried,
                bound_mdtrt_id=seen.bound_visits.get(carried.jti) if carried else None,
                projection=seen.told.of(carried.psn_no if carried else "", each.fixmedins_code),
            )
            for each, carried in zip(presented, facts, strict=True)
        ]
        return [self._decide(visit, now) for visit in visits]

    def _decide(self, visit: Visit, now: datetime) -> Admitted | Reason:
        reason = decide_refusal(visit, now, self._home_region_prefix)
        if reason is not None or visit.facts is None:
            return reason or Reason.CREDENTIAL_INVALID
        enrolment = freshest(visit.facts, visit.projection, now).enrolment
        return Admitted(visit.facts.jti, enrolment.insutype if enrolment else None)


def sought_of(
    presented: Iterable[Presented], facts: Iterable[VisitFacts | None], keys: Collection[MsgKey] = ()
) -> Sought:
    """What is looked for to judge these visits, of requests known by these keys."""
    readable = [each for each in facts if each is not None]
    return Sought(
        keys=keys,
        jtis={each.jti for each in readable},
        psn_nos={each.psn_no for each in readable},
        fixmedins_codes={each.fixmedins_code for each in presented},
    )
