"""Contacts (联系方式), what people chose to be told where, and the codes that show an address to be theirs."""
