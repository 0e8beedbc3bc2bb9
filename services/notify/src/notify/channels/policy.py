"""How one channel is used: how long it may take, how often it is tried, how much of it at once, and when it rests."""

from typing import Final, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from notify.domain.channels import Channel


class Policy(BaseModel):
    """The bounds of one channel; the defaults suit a gateway."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    timeout_seconds: float = Field(default=10.0, gt=0, le=60)
    """How long one attempt may take, connecting included; it may wait as long for its turn before."""
    attempts: int = Field(default=8, ge=1, le=100)
    """How often a message is tried that the other side does not take while it takes others. An outage uses up none."""
    first_wait_seconds: float = Field(default=5.0, gt=0, le=3600)
    """About how long after the first failure the second attempt comes; each further wait is twice as long."""
    most_wait_seconds: float = Field(default=3600.0, gt=0, le=86_400)
    """The longest wait between two attempts, unless the other side asks for a longer one, up to a day."""
    concurrency: int = Field(default=16, ge=1, le=256)
    """How many messages one process hands over at once."""
    breaker_failures: int = Field(default=5, ge=1, le=1000)
    """After how many failures in a row the other side is left alone."""
    breaker_rest_seconds: float = Field(default=30.0, gt=0, le=3600)
    """For how long; then one message tries whether it is back."""
    most_a_day: int = Field(default=100, ge=1, le=10_000)
    """How many messages one person gets by this channel in one day (Asia/Shanghai): a fault never floods a phone."""

    @model_validator(mode="after")
    def _waits_grow(self) -> Self:
        if self.most_wait_seconds < self.first_wait_seconds:
            raise ValueError("most_wait_seconds must not be below first_wait_seconds")
        return self


# A mail server takes one message after the other on a connection. Messengers' robots take about twenty a minute.
_MAIL: Final = Policy(timeout_seconds=30.0, first_wait_seconds=30.0, concurrency=1)
_ROBOT: Final = Policy(first_wait_seconds=30.0, concurrency=4)
DEFAULTS: Final = {
    Channel.SMS: Policy(most_a_day=20),
    Channel.PUSH: Policy(),
    Channel.EMAIL: _MAIL,
    Channel.WECOM: _ROBOT,
    Channel.DINGTALK: _ROBOT,
    Channel.FEISHU: _ROBOT,
}
"""What holds where the settings of a channel say nothing else."""
