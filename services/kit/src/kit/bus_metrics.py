"""The Prometheus metrics of outbox, relay and consumers. Labels are topics and groups; never anything of a person."""

from prometheus_client import Counter, Gauge

UNSENT = Gauge("gongji_outbox_unsent_events", "Events that are written and not yet confirmed by Kafka.")
UNSENT_AGE = Gauge("gongji_outbox_oldest_unsent_seconds", "How long the oldest of them that is there has waited.")
PUBLISHED = Counter("gongji_outbox_published_events", "Events that Kafka confirmed.", ("topic",))
RELAY_ACTIVE = Gauge("gongji_outbox_relay_active", "1 while this process holds the lease to publish.")
RELAY_FAILURES = Counter("gongji_outbox_relay_failures", "Times that publishing stopped and began again.", ("error",))

CONSUMED = Counter("gongji_consumer_events", "Events handled.", ("group", "topic"))
CONSUMED_AT = Gauge("gongji_consumer_last_consumed_seconds", "When the last event was handled, Unix time.", ("group",))
NEWEST = Gauge(
    "gongji_consumer_newest_event_seconds",
    "When the newest event that was handled came about, as its publisher tells, Unix time: how old the picture is.",
    ("group", "topic"),
)
LAG = Gauge("gongji_consumer_lag_events", "Events behind the end of the partition.", ("group", "topic", "partition"))
CONNECTED = Gauge("gongji_consumer_connected", "1 while Kafka answers the consumer and its loop turns.", ("group",))
HEARD_AT = Gauge("gongji_consumer_last_heard_seconds", "When Kafka last answered the consumer, Unix time.", ("group",))
POSTPONED = Counter("gongji_consumer_postponed_batches", "Batches put off for want of the database.", ("group",))
DEAD_LETTERS = Counter("gongji_consumer_dead_letters", "Events sent to the DLQ.", ("group", "topic", "error"))
HALTED = Gauge(
    "gongji_consumer_halted", "1 when a consumer stopped because too many events in a row failed.", ("group",)
)
