"""The embedded Kafka: its Java, its jars, its one broker."""
