"""The rules of settlement: pure, on the standard library alone."""
