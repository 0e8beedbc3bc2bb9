"""Importing the register of insured persons (参保人员名册): batches, chunks, the file, the command."""
