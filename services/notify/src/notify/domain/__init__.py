"""What people are told, in pure functions: facts in, notices out."""
