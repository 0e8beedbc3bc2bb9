"""May this payer pay for this beneficiary, and how much."""
