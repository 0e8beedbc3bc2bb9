"""How long identity keeps what it keeps by months: the settings of its `purge`."""

from typing import Annotated, Final

from pydantic import AfterValidator, Field

from kit.retention import Days, OutboxRetention

LEAST_ACCESS_LOG_DAYS: Final = 3 * 366

_ACCESS_LOG: Final = Days(
    LEAST_ACCESS_LOG_DAYS, "the law wants it on record for three years who handled personal data (PIPL, article 56)"
)


class IdentityRetention(OutboxRetention):
    """How long identity keeps its events, and who was told what about whom."""

    access_log_kept_days: Annotated[int, AfterValidator(_ACCESS_LOG)] = Field(
        default=5 * 366,
        description="Days for which the access log keeps its lines, at least; "
        f"no fewer than {LEAST_ACCESS_LOG_DAYS}, three years.",
        examples=["1830"],
    )
