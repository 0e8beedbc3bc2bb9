"""Exports of statements ⇄ the contract."""

from collections.abc import Mapping
from typing import Final

from gongji.settlement.v1 import account_pb2
from settlement.account_codec import period_of
from settlement.statement_export import Export, Format
from settlement.statement_sheet import Holder

_FORMATS: Final[Mapping[account_pb2.StatementFormat.ValueType, Format]] = {
    account_pb2.STATEMENT_FORMAT_UNSPECIFIED: Format.CSV,
    account_pb2.STATEMENT_FORMAT_CSV: Format.CSV,
    account_pb2.STATEMENT_FORMAT_PDF: Format.PDF,
}


def export_of(request: account_pb2.ExportStatementRequest) -> Export:
    """What is asked for.

    Raises:
        InvalidFields: the period is none.
    """
    return Export(Holder(request.psn_no, request.holder_name), period_of(request), _FORMATS[request.format])
