"""Tells payers and beneficiaries what happened."""
