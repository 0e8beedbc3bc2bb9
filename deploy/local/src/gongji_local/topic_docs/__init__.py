"""Documents of the topics, made of `protos/topics` and the contracts: AsyncAPI, and a page in each language."""
