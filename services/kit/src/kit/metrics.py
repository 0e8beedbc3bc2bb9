"""The kit's Prometheus metrics. Labels are names from the contract and the code; never anything of a person."""

from prometheus_client import Counter, Gauge, Histogram

_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 15.0)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)

CALLS = Counter("gongji_grpc_calls", "Calls answered, by method, gRPC code and reason.", ("method", "code", "reason"))
DURATION = Histogram(
    "gongji_grpc_duration_seconds", "From the call's start to its answer.", ("method",), buckets=_SECONDS
)
IN_FLIGHT = Gauge("gongji_grpc_in_flight", "Calls under way.")
BATCH_SIZE = Histogram("gongji_batch_size", "Requests per batch.", ("batcher",), buckets=_SIZES)
BATCH_WAITING = Gauge("gongji_batch_waiting", "Requests that wait for a batch.", ("batcher",))
