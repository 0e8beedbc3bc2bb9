"""The rules of identity: pure, over frozen values, with the standard library only."""
