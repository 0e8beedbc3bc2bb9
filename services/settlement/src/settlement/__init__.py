"""Accounts, the ledger and every way money moves."""
