"""The visit credential: a visit's facts, serialized and signed for settlement (ADR 0006)."""

from identity import codec
from identity.domain.visit import Visit
from kit.signing import TokenSigner


class VisitCredentials:
    """Signs with the credential key ring's active key; settlement verifies with the same ring."""

    def __init__(self, signer: TokenSigner) -> None:
        self._signer = signer

    def __call__(self, visit: Visit) -> str:
        """The credential of a visit."""
        return self._signer.sign(codec.visit_facts(visit).SerializeToString(deterministic=True))
