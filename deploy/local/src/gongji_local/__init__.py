"""The embedded stack of a developer's machine: PostgreSQL, Kafka, certificates and the four services."""
