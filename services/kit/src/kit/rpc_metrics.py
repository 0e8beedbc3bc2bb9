"""The metrics of calls and of batches."""

from kit.metrics import EVERY, SIZES, Label

METHOD = Label("method", "path of an RPC of the contract", most=256)
PRINCIPAL = Label(
    "principal",
    "kind of who called; `nobody` where no certificate says who",
    ("institution", "service", "nobody"),
)
CODE = Label("code", "gRPC's code", most=17)
REASON = Label("reason", "of `gongji.common.v1.Reason`; empty where there is none", most=256)
BATCHER = Label("batcher", "what is gathered, as the code names it", most=32)

CALLS = EVERY.counter(
    "gongji_grpc_calls_total",
    "Calls answered.",
    unit="calls",
    labels=(METHOD, PRINCIPAL, CODE, REASON),
)
DURATION = EVERY.histogram(
    "gongji_grpc_duration_seconds", "From the call's start to its answer.", unit="s", labels=(METHOD, PRINCIPAL)
)
IN_FLIGHT = EVERY.gauge("gongji_grpc_in_flight", "Calls under way.", unit="calls")
IN_FLIGHT_LIMIT = EVERY.gauge(
    "gongji_grpc_in_flight_limit", "Calls that may be under way; one more is refused with OVERLOADED.", unit="calls"
)
BATCH_SIZE = EVERY.histogram(
    "gongji_batch_size", "Requests per batch.", unit="requests", labels=(BATCHER,), buckets=SIZES
)
BATCH_WAIT = EVERY.histogram(
    "gongji_batch_wait_seconds",
    "How long the first request of each batch waited for it: none of the batch waited longer, but those that were"
    " passed over before for a patient's sake.",
    unit="s",
    labels=(BATCHER,),
)
BATCH_WAITING = EVERY.gauge(
    "gongji_batch_waiting", "Requests that wait for a batch.", unit="requests", labels=(BATCHER,)
)
BATCH_WAITING_LIMIT = EVERY.gauge(
    "gongji_batch_waiting_limit",
    "Requests that may wait for a batch; one more is refused with OVERLOADED.",
    unit="requests",
    labels=(BATCHER,),
)
