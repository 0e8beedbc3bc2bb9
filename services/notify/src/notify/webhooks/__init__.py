"""Webhooks: events sent to other systems by HTTP. A package of its own: it shares only the database with the inbox."""
