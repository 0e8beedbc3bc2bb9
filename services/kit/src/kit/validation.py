"""From a request's bytes to a message that keeps the contract's rules, or to every violation at once."""

from collections.abc import Iterable
from typing import Generic, TypeVar

from google.protobuf.message import DecodeError, Message
from protovalidate import CompilationError, EvaluationError, FieldPathElementPb, Validator, Violation

from kit import wire
from kit.errors import FieldViolation, InvalidFields, Refusal

M = TypeVar("M", bound=Message)

_validator = Validator()


class ContractError(Exception):
    """A rule in the contract cannot be compiled; a fault in the contract, found at start."""


def warm_up(request_types: Iterable[type[Message]]) -> None:
    """Compile the rules of these messages now: at the first call it would cost that caller tens of milliseconds.

    Raises:
        ContractError: a rule cannot be compiled; names the message.
    """
    for request_type in request_types:
        try:
            _validator.collect_violations(request_type())
        except CompilationError as error:
            raise ContractError(f"{request_type.DESCRIPTOR.full_name}: {error}") from error
        except EvaluationError:
            # A rule may divide by what an empty message does not have; compiled it is all the same.
            continue


def check(message: Message) -> None:
    """Return if the message keeps all rules of its contract.

    Raises:
        InvalidFields: it breaks some; names each with its path.
    """
    if violations := _validator.collect_violations(message):
        raise InvalidFields([_violation(violation) for violation in violations])


class Reader(Generic[M]):
    """Reads requests of one type.

    Args:
        request_type: the generated class.
        max_bytes: a longer request is refused with `TOO_LARGE`.
    """

    __slots__ = ("_has_times", "_max_bytes", "_type")

    def __init__(self, request_type: type[M], max_bytes: int) -> None:
        self._type = request_type
        self._max_bytes = max_bytes
        self._has_times = wire.has_times(request_type.DESCRIPTOR)

    def __call__(self, raw: bytes) -> M:
        """The request in `raw`, validated.

        Raises:
            InvalidFields: the bytes are damaged, or break rules of the contract.
            Refusal: `TOO_LARGE`.
        """
        if len(raw) > self._max_bytes:
            raise too_large(len(raw), self._max_bytes)
        try:
            message = self._type.FromString(raw)
        except DecodeError:
            raise InvalidFields([wire.damage(raw, self._type.DESCRIPTOR)]) from None
        if wire.misread(message):
            raise InvalidFields([wire.damage(raw, self._type.DESCRIPTOR)])
        if b"\0" in raw and (violation := wire.nul(message)):
            raise InvalidFields([violation])
        if self._has_times and (violation := wire.no_moment(message)):
            raise InvalidFields([violation])
        check(message)
        return message


def too_large(size_bytes: int, max_bytes: int) -> Refusal:
    """What a message over the limit is refused with."""
    return Refusal(
        "TOO_LARGE",
        f"the message has {size_bytes} bytes, at most {max_bytes} are taken; send less in one call",
        {"size_bytes": str(size_bytes), "max_bytes": str(max_bytes)},
    )


def _violation(violation: Violation) -> FieldViolation:
    proto = violation.proto
    path = ".".join(_element(element) for element in proto.field.elements) if proto.field else ""
    return FieldViolation(path, proto.message or f"breaks the rule {proto.rule_id}")


def _element(element: FieldPathElementPb) -> str:
    subscript = element.subscript
    if subscript is None:
        return element.field_name
    # A text key is a value that the caller chose: it is not repeated, as no value is.
    return f"{element.field_name}[{'…' if subscript.field == 'string_key' else subscript.value}]"
