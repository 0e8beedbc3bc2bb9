"""Who may call what. What is not here is refused."""

from kit.auth import AccessTable, institutions, people, services

SETTLEMENTS = "gongji.settlement.v1.SettlementService"
ACCOUNTS = "gongji.settlement.v1.AccountService"
RECONCILIATION = "gongji.settlement.v1.ReconciliationService"
PREMIUMS = "gongji.settlement.v1.PremiumService"
SERVICES = (SETTLEMENTS, ACCOUNTS, RECONCILIATION, PREMIUMS)

OWN_CAPS_SECONDS = {
    f"/{ACCOUNTS}/ImportContributions": 300.0,
    f"/{ACCOUNTS}/ExportStatement": 60.0,
    f"/{RECONCILIATION}/StreamDetails": 60.0,
    f"/{RECONCILIATION}/DownloadDailyFile": 60.0,
    f"/{RECONCILIATION}/CompareDetails": 60.0,
}
"""Streams that may take longer than other calls: half a million contributions, and files of a large hospital's day."""

_KEEPERS = services("operator", "registry")
_CONSOLE = services("operator")
_OWNERS = people("citizen") | services("operator")
_OPERATORS = people("operator") | services("operator")
_RECONCILERS = institutions() | _OPERATORS | people("auditor")

ACCESS: AccessTable = {
    f"/{SETTLEMENTS}/PreSettle": institutions(),
    f"/{SETTLEMENTS}/CancelQuote": institutions(),
    f"/{SETTLEMENTS}/GetQuote": institutions(),
    f"/{SETTLEMENTS}/Settle": institutions(),
    f"/{SETTLEMENTS}/BatchSettle": institutions(),
    f"/{SETTLEMENTS}/SettleStream": institutions(),
    f"/{SETTLEMENTS}/Reverse": institutions(),
    f"/{SETTLEMENTS}/Resettle": institutions(),
    f"/{SETTLEMENTS}/GetSettlement": institutions(),
    f"/{SETTLEMENTS}/ListSettlements": institutions(),
    f"/{ACCOUNTS}/OpenAccount": _KEEPERS,
    f"/{ACCOUNTS}/RecordContribution": _KEEPERS,
    f"/{ACCOUNTS}/ImportContributions": _KEEPERS,
    f"/{ACCOUNTS}/FreezeAccount": _KEEPERS,
    f"/{ACCOUNTS}/UnfreezeAccount": _KEEPERS,
    f"/{ACCOUNTS}/CloseAccount": _CONSOLE,
    f"/{ACCOUNTS}/ListClosedRefunds": _CONSOLE,
    f"/{ACCOUNTS}/PayOutClosedRefund": _CONSOLE,
    f"/{ACCOUNTS}/GetAccount": _OWNERS,
    f"/{ACCOUNTS}/ListEntries": _OWNERS,
    f"/{ACCOUNTS}/GetStatement": _OWNERS,
    f"/{ACCOUNTS}/ExportStatement": _OWNERS,
    f"/{RECONCILIATION}/GetDailyTotals": _RECONCILERS,
    f"/{RECONCILIATION}/StreamDetails": _RECONCILERS,
    f"/{RECONCILIATION}/DownloadDailyFile": _RECONCILERS,
    f"/{RECONCILIATION}/CompareDetails": institutions(),
    f"/{RECONCILIATION}/ListDifferences": _RECONCILERS,
    f"/{RECONCILIATION}/ResolveDifference": institutions() | _OPERATORS,
    f"/{RECONCILIATION}/GetClearingStatement": _RECONCILERS,
    f"/{RECONCILIATION}/CloseDay": _OPERATORS,
    f"/{PREMIUMS}/SetPremium": _OPERATORS,
    f"/{PREMIUMS}/GetPremiumTerms": people("citizen") | _OPERATORS,
    f"/{PREMIUMS}/PayPremium": people("citizen"),
    f"/{PREMIUMS}/RefundPremium": people("citizen") | _OPERATORS,
    f"/{PREMIUMS}/GetPremium": people("citizen") | _OPERATORS,
    f"/{PREMIUMS}/ListPremiums": people("citizen") | _OPERATORS,
}
