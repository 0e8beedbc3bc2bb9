"""How the demo tells what happens: steps, calls with milliseconds, facts, receipts and messages."""

from collections.abc import Mapping, Sequence
from datetime import UTC
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp
from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from gongji.common.v1 import reason_pb2
from gongji.notify.v1 import inbox_pb2
from gongji.settlement.v1 import account_pb2, settlement_pb2
from gongji_local.client import CallRecord
from gongji_local.demo.checks import yuan
from kit.clock import SHANGHAI, Elapsed

MILLISECONDS: Final = 1000
CALL_WIDTH: Final = 62
KINDS: Final = {
    account_pb2.ENTRY_KIND_CONTRIBUTION: "contribution 缴费入账",
    account_pb2.ENTRY_KIND_SETTLEMENT: "settlement 共济支出",
    account_pb2.ENTRY_KIND_REFUND: "refund 退款",
}


class Narrator:
    """Speaks to the person at the terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._steps = 0
        self._calls = 0
        self._silent = False
        self._elapsed = Elapsed()
        self.last_call = ""

    @property
    def calls(self) -> int:
        """How many calls were made, the silent ones too."""
        return self._calls

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return self._elapsed.seconds

    def step(self, title: str) -> None:
        """A new step begins."""
        self._steps += 1
        self._console.print(f"\n[bold cyan]{self._steps:>2}[/bold cyan]  [bold]{escape(title)}[/bold]", soft_wrap=True)

    def call(self, record: CallRecord) -> None:
        """A call has ended; for `Connections`."""
        self._calls += 1
        self.last_call = f"{record.caller} → {record.service}.{record.method}"
        if self._silent:
            return
        line = Text(f"    {self.last_call}", style="blue")
        line.pad_right(max(0, CALL_WIDTH - line.cell_len))
        line.append(f"{record.seconds * MILLISECONDS:7.1f} ms", style="dim")
        if record.refusal:
            line.append(f"  {record.refusal}", style="yellow")
        self._console.print(line, soft_wrap=True)

    def hush(self, *, silent: bool) -> None:
        """Counts calls without printing them, while something is waited for."""
        self._silent = silent

    def fact(self, text: str) -> None:
        """Something that was checked."""
        self._console.print(f"    [green]✓[/green] {escape(text)}", soft_wrap=True)

    def names(self, names: Mapping[str, str]) -> None:
        """The ids of what was played, for the shell of whoever looks further."""
        self._console.print("To look further, in your shell:")
        for name, value in names.items():
            self._console.print(f"  export {name}={value}", soft_wrap=True)

    def message(self, message: inbox_pb2.Message) -> None:
        """A message as the family reads it."""
        self._console.print(
            Panel(
                escape(message.body), title=escape(message.title), title_align="left", width=84, border_style="magenta"
            )
        )

    def receipt(self, settlement: settlement_pb2.Settlement, hospital: str, patient: str) -> None:
        """A settlement as the cashier's desk prints it."""
        bill, split = settlement.bill, settlement.split
        table = _table("结算单 Receipt", "", "")
        table.columns[1].justify = "right"
        table.add_row("hospital 定点医药机构", f"{escape(hospital)} {settlement.fixmedins_code}")
        table.add_row("patient 患者", escape(patient))
        table.add_row("msgid", settlement.msgid)
        table.add_row("setl_id", settlement.setl_id)
        table.add_row("settled 结算时间", _moment(settlement.setl_time), end_section=True)
        table.add_row("bill 医疗费总额", yuan(bill.medfee_sumamt))
        table.add_row("basic insurance 基金支付", yuan(bill.fund_pay_sumamt))
        table.add_row("left to the person 个人负担", yuan(bill.psn_part_amt), end_section=True)
        table.add_row("own account 个人账户", yuan(split.acct_pay))
        for line in split.lines:
            payer = f"mutual aid 共济支付 (payer …{line.payer_psn_no[-4:]})"
            table.add_row(payer, f"{yuan(line.amount)}  (balance after {yuan(line.balance_after)})")
        for decline in split.declines:
            table.add_row(f"  payer …{decline.payer_psn_no[-4:]} gave no more", _why(decline))
        table.add_row("[bold]cash 现金支付[/bold]", f"[bold]{yuan(split.psn_cash_pay)}[/bold]")
        self._console.print(table)

    def statement(self, entries: Sequence[account_pb2.Entry]) -> None:
        """The payer's statement, newest first."""
        table = _table("个人账户明细 The payer's statement", "no.", "when", "what", "amount", "balance after")
        for column in table.columns[3:]:
            column.justify = "right"
        for entry in entries:
            kind, amount, balance = KINDS[entry.kind], yuan(entry.amount), yuan(entry.balance_after)
            table.add_row(str(entry.version), _moment(entry.posted_at), kind, amount, balance)
        self._console.print(table)

    def summary(self, rows: Sequence[tuple[str, str]]) -> None:
        """What adds up."""
        table = _table("Summary", "", "")
        for what, how in rows:
            table.add_row(f"[green]✓[/green] {escape(what)}", escape(how))
        self._console.print(table)


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", show_header=any(columns))
    for column in columns:
        table.add_column(column)
    return table


def _moment(stamp: Timestamp) -> str:
    return f"{stamp.ToDatetime(tzinfo=UTC).astimezone(SHANGHAI):%Y-%m-%d %H:%M:%S}"


def _why(decline: settlement_pb2.Decline) -> str:
    reason = reason_pb2.Reason.Name(decline.reason).removeprefix("REASON_")
    if not decline.window:
        return reason
    window = settlement_pb2.LimitWindow.Name(decline.window).removeprefix("LIMIT_WINDOW_").lower()
    return f"{reason} ({window})"
