"""The embedded PostgreSQL: where it may live, how it starts and ends, which databases it gets."""
