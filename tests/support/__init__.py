"""What the scenarios share: requests that are wrong on purpose, a world of persons, waiting for conditions."""
