"""The services of a HIS's calls, each behind a batcher: calls are gathered, each patient's one after the other."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta

from kit.batcher import MicroBatcher
from kit.clock import Clock
from kit.db import Work
from settlement.binding_client import Authorizer
from settlement.bulk import Bulk
from settlement.commands import Command
from settlement.config import Settings
from settlement.credentials import CredentialReader
from settlement.domain.quotes import Quote
from settlement.domain.state import Settlement
from settlement.intents import Intake
from settlement.premium_service import PremiumService, Settling
from settlement.preview_service import Preview, PreviewCommand, PreviewService
from settlement.query_service import QueryService
from settlement.quote_service import QuoteService
from settlement.repository import SettlementRepository
from settlement.reverse_service import ReverseCommand, ReverseService
from settlement.sandbox import Sandbox
from settlement.settle_service import SettleService
from settlement.visits import VisitJudge


@dataclass(frozen=True, slots=True)
class Pipeline:
    """What settles, previews and reverses: calls are gathered into batches, each patient's one after the other."""

    settling: MicroBatcher[Command, Settlement | Quote]
    quoted: MicroBatcher[Command, Settlement | Quote]
    previewing: MicroBatcher[PreviewCommand, Preview]
    reversing: MicroBatcher[ReverseCommand, Settlement]
    bulk: Bulk
    query: QueryService
    sandbox: Sandbox
    quotes: QuoteService
    premiums: PremiumService

    async def drain(self) -> None:
        """Refuse what comes from now on, answer what was accepted before."""
        batchers = (self.settling, self.quoted, self.previewing, self.reversing)
        await asyncio.gather(self.bulk.drain(), *(batcher.drain() for batcher in batchers))


def assemble(
    settings: Settings,
    work: Work[SettlementRepository],
    authorizer: Authorizer,
    credentials: CredentialReader,
    clock: Clock,
) -> Pipeline:
    """The pipeline on a unit of work; tests call it with fakes."""
    judge = VisitJudge(credentials, settings.home_region_prefix)
    order = settings.payment_order
    settle = SettleService(
        work=work,
        intake=Intake(work, judge, clock),
        authorizer=authorizer,
        clock=clock,
        order=order,
        quotes_last=timedelta(minutes=settings.quote_minutes),
        failpoints=settings.points,
    )
    preview = PreviewService(work, judge, authorizer, clock, order)
    quotes, query = QuoteService(work, clock), QueryService(work)
    most, waiting = settings.batch_max, settings.batch_waiting_max
    settling: Settling = MicroBatcher(
        settle.settle,
        most,
        waiting,
        _patient,
        "settle",
        most_in_flight=settings.batches_in_flight,
        crowd=settings.batch_crowd,
    )
    return Pipeline(
        settling=settling,
        quoted=MicroBatcher(quotes.settle, most, waiting, _patient, "settle quotes"),
        previewing=MicroBatcher(preview.preview, most, waiting, lambda each: each.presented.bill.psn_no, "preview"),
        reversing=MicroBatcher(ReverseService(work, clock).reverse, most, waiting, _original, "reverse"),
        bulk=Bulk(settle.settle, quotes.settle, settings.bulk_in_flight, settings.bulk_waiting_max),
        query=query,
        sandbox=Sandbox(settings.sandbox, query),
        quotes=quotes,
        premiums=PremiumService(work, settling, authorizer, clock),
    )


def _patient(command: Command) -> str:
    return command.order.bill.psn_no


def _original(command: ReverseCommand) -> tuple[str, str]:
    return command.fixmedins_code, str(command.original)
