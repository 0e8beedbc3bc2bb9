"""What binding does, one unit of work each: read under locks, ask the domain, write, tell."""
