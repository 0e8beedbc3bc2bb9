"""The metrics of outbox, relay and consumers. Labels are topics and groups; never anything of a person."""

from kit.metrics import ERROR, EVERY, Label

TOPIC = Label("topic", "a topic of `protos/topics`", most=64)
GROUP = Label("group", "a consumer group, which is also the inbox's name for it", most=16)
PARTITION = Label("partition", "its number", most=1000)

UNSENT = EVERY.gauge(
    "gongji_outbox_unsent_events", "Events that are written and not yet confirmed by Kafka.", unit="events"
)
UNSENT_AGE = EVERY.gauge(
    "gongji_outbox_oldest_unsent_seconds", "How long the oldest of them that is there has waited.", unit="s"
)
PUBLISHED = EVERY.counter(
    "gongji_outbox_published_events_total", "Events that Kafka confirmed.", unit="events", labels=(TOPIC,)
)
DELAY = EVERY.histogram(
    "gongji_outbox_delay_seconds",
    "From the writing of an event to Kafka's confirmation, of the oldest of each round.",
    unit="s",
    buckets=(0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 15.0, 60.0, 300.0, 3600.0),
)
RELAY_ACTIVE = EVERY.gauge("gongji_outbox_relay_active", "1 while this process holds the lease to publish.", unit="0/1")
RELAY_FAILURES = EVERY.counter(
    "gongji_outbox_relay_failures_total",
    "Times that publishing stopped and began again.",
    unit="times",
    labels=(ERROR,),
)

REFUSED = EVERY.gauge(
    "gongji_kafka_refused",
    "1 while the brokers refuse this process: an ACL is missing, or certificates do not fit. `/readyz` says what.",
    unit="0/1",
)

CONSUMED = EVERY.counter("gongji_consumer_events_total", "Events handled.", unit="events", labels=(GROUP, TOPIC))
CONSUMED_AT = EVERY.gauge(
    "gongji_consumer_last_consumed_seconds",
    "When the last event was handled, Unix time.",
    unit="s",
    labels=(GROUP,),
)
NEWEST = EVERY.gauge(
    "gongji_consumer_newest_event_seconds",
    "When the newest event that was handled came about, as its publisher tells, Unix time: how old the picture is.",
    unit="s",
    labels=(GROUP, TOPIC),
)
LAG = EVERY.gauge(
    "gongji_consumer_lag_events",
    "Events behind the end of the partition; absent while Kafka is out of reach.",
    unit="events",
    labels=(GROUP, TOPIC, PARTITION),
)
PROJECTION_AGE = EVERY.gauge(
    "gongji_projection_age_seconds",
    "How long ago that moment is of which this consumer has had every event of its partitions: so old at most is what"
    " it has made of them. A few seconds while events keep coming.",
    unit="s",
    labels=(GROUP,),
)
CONNECTED = EVERY.gauge(
    "gongji_consumer_connected",
    "1 while Kafka answers the consumer and its loop turns.",
    unit="0/1",
    labels=(GROUP,),
)
HEARD_AT = EVERY.gauge(
    "gongji_consumer_last_heard_seconds",
    "When Kafka last answered the consumer, Unix time.",
    unit="s",
    labels=(GROUP,),
)
POSTPONED = EVERY.counter(
    "gongji_consumer_postponed_batches_total",
    "Batches put off for want of the database.",
    unit="batches",
    labels=(GROUP,),
)
DEAD_LETTERS = EVERY.counter(
    "gongji_consumer_dead_letters_total", "Events sent to the DLQ.", unit="events", labels=(GROUP, TOPIC, ERROR)
)
HALTED = EVERY.gauge(
    "gongji_consumer_halted",
    "1 when a consumer stopped because too many events in a row failed.",
    unit="0/1",
    labels=(GROUP,),
)
