"""The contracts' own promises: every event has a golden example, every reason has its row, every RPC its limits."""

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import protovalidate
import pytest
import yaml
from google.protobuf import descriptor_pool, json_format, message_factory
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor
from google.protobuf.descriptor_pb2 import MethodOptions
from google.protobuf.message import Message
from google.rpc import code_pb2

from gongji.common.v1 import reason_pb2

ROOT = Path(__file__).parent.parent
TOPICS: dict[str, dict[str, Any]] = {
    path.stem: yaml.safe_load(path.read_text()) for path in sorted((ROOT / "topics").glob("*.yaml"))
}
EVENTS: list[str] = [name for topic in TOPICS.values() for name in topic["schema"]]
KEYED_OTHERWISE = {
    # by what their requests carry for the same purpose
    "gongji.binding.v1.AuthorizationService.Authorize",  # authorization_id
    "gongji.binding.v1.AuthorizationService.PreviewAuthorization",  # applies outcomes, by their authorization_id
    "gongji.identity.v1.VisitService.Identify",  # each identification is one, and logged as one
    "gongji.settlement.v1.SettlementService.PreSettle",  # msgid, when it holds
    "gongji.settlement.v1.SettlementService.CancelQuote",  # quote_id, which ends once
    "gongji.settlement.v1.SettlementService.Settle",  # msgid
    "gongji.settlement.v1.SettlementService.BatchSettle",  # each item's msgid
    "gongji.settlement.v1.SettlementService.Reverse",  # msgid
    "gongji.settlement.v1.SettlementService.Resettle",  # msgid
    "gongji.settlement.v1.AccountService.OpenAccount",  # psn_no
    "gongji.settlement.v1.AccountService.RecordContribution",  # contribution_id
    "gongji.settlement.v1.AccountService.FreezeAccount",  # the state
    "gongji.settlement.v1.AccountService.UnfreezeAccount",  # the state
    "gongji.settlement.v1.ReconciliationService.CloseDay",  # the day, which is closed once
    "gongji.settlement.v1.PremiumService.PayPremium",  # payment_id, which has to be kept before binding is asked
}
ENDS = {"gongji.notify.events.v1.DeliveryEnded"}
"""Told once in the life of what they name."""
BOUNDED_TYPES = (FieldDescriptor.CPPTYPE_STRING, FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_INT32)
FORBIDDEN_IN_EVENTS = ("psn_name", "certno", "tel", "phone", "voucher", "mdtrt_cert_no", "card_sn", "visit_credential")

for contract in sorted((ROOT / "gongji").rglob("*.proto")):
    importlib.import_module(".".join(contract.relative_to(ROOT).with_suffix("").parts) + "_pb2")


def new(full_name: str) -> Message:
    return message_factory.GetMessageClass(descriptor_pool.Default().FindMessageTypeByName(full_name))()


def golden(full_name: str, suffix: str) -> str:
    return (ROOT / "examples" / f"{full_name}.{suffix}").read_text(encoding="utf-8")


def unset_fields(message: Message, path: str = "") -> Iterator[str]:
    present = {field.name for field, _ in message.ListFields()}
    for field in message.DESCRIPTOR.fields:
        if field.name not in present:
            yield path + field.name
    for field, value in message.ListFields():
        if field.message_type is not None and field.message_type.full_name != "google.protobuf.Timestamp":
            for part in value if field.is_repeated else [value]:
                yield from unset_fields(part, f"{path}{field.name}.")


@pytest.mark.parametrize("full_name", EVENTS)
def test_an_event_decodes_from_its_golden_bytes_to_its_golden_text_and_back(full_name: str) -> None:
    from_text = json_format.Parse(golden(full_name, "json"), new(full_name))
    from_bytes = new(full_name)
    from_bytes.ParseFromString(bytes.fromhex(golden(full_name, "hex")))
    assert from_bytes == from_text
    assert from_text.SerializeToString(deterministic=True).hex() == golden(full_name, "hex").replace("\n", "")


@pytest.mark.parametrize("full_name", EVENTS)
def test_a_golden_example_shows_every_field_that_is_not_zero_by_meaning(full_name: str) -> None:
    example = json_format.Parse(golden(full_name, "json"), new(full_name))
    meant_to_be_zero = {"psn_cash_pay", "balance_after_fen", "settlement.lines", "arrears", "suspended", "premium_year"}
    missing = {
        path
        for path in unset_fields(example)
        if path not in meant_to_be_zero and path.rpartition(".")[2] not in meant_to_be_zero
    }
    assert missing == set()


def test_there_is_an_example_for_every_event_and_for_nothing_else() -> None:
    on_disk = {path.name.removesuffix(path.suffix) for path in (ROOT / "examples").iterdir()}
    assert on_disk == set(EVENTS)


def test_an_event_type_belongs_to_one_topic() -> None:
    assert len(EVENTS) == len(set(EVENTS))


@pytest.mark.parametrize("name", TOPICS)
def test_a_topic_states_owner_key_partitions_retention_consumers_and_dead_letters(name: str) -> None:
    topic = TOPICS[name]
    assert topic["topic"] == name
    assert topic["dlq"] == f"{name}-dlq"
    assert topic["owner"] not in topic["consumers"]
    assert topic["partitions"] >= 1
    assert topic["retention_hours"] >= 24
    assert topic["replication"] > topic["min_insync_replicas"] > 1
    for words in (topic["key"], topic["description"]):
        assert words["en"].isascii()
        assert any("\u4e00" <= sign <= "\u9fff" for sign in words["zh"]) or words["zh"] == words["en"]


def all_fields(descriptor: Any, seen: set[str]) -> Iterator[FieldDescriptor]:
    if descriptor.full_name in seen:
        return
    seen.add(descriptor.full_name)
    for field in descriptor.fields:
        yield field
        if field.message_type is not None:
            yield from all_fields(field.message_type, seen)


@pytest.mark.parametrize("full_name", EVENTS)
def test_an_event_has_no_field_for_names_numbers_telephones_or_vouchers(full_name: str) -> None:
    names = {field.name for field in all_fields(new(full_name).DESCRIPTOR, set())}
    assert names.isdisjoint(FORBIDDEN_IN_EVENTS)


@pytest.mark.parametrize("full_name", EVENTS)
def test_an_event_counts_its_aggregate_by_a_sequence_or_is_complete_in_itself(full_name: str) -> None:
    fields = new(full_name).DESCRIPTOR.fields_by_name
    assert "sequence" in fields or "settlement" in fields or full_name in ENDS


@pytest.mark.parametrize("value", reason_pb2.Reason.DESCRIPTOR.values[1:], ids=lambda value: value.name)
def test_a_reason_has_a_code_and_tells_what_to_do_next(value: Any) -> None:
    row = value.GetOptions().Extensions[reason_pb2.error]
    assert row.code not in (code_pb2.OK, code_pb2.UNKNOWN)
    assert row.retry != reason_pb2.RETRY_UNSPECIFIED


def request_types() -> list[str]:
    pool = descriptor_pool.Default()
    files = [".".join(path.relative_to(ROOT).parts) for path in sorted((ROOT / "gongji").rglob("*.proto"))]
    names: list[str] = []
    for path in files:
        file = pool.FindFileByName(path.replace(".", "/").removesuffix("/proto") + ".proto")
        names += [
            method.input_type.full_name for service in file.services_by_name.values() for method in service.methods
        ]
    return names


@pytest.mark.parametrize("full_name", request_types())
def test_an_empty_request_is_refused_by_the_contract_unless_all_its_fields_are_optional(full_name: str) -> None:
    may_be_empty = {
        f"gongji.binding.v1.{name}Request" for name in ("ListWaiting", "CountWaiting", "ListReasons", "GetPledge")
    }
    may_be_empty |= {"gongji.identity.v1.ListImportsRequest", "gongji.settlement.v1.ListClosedRefundsRequest"}
    may_be_empty |= {"gongji.notify.v1.ListDeliveriesRequest"}
    may_be_empty |= {f"gongji.identity.v1.{name}Request" for name in ("ListInstitutions", "ListInstitutionChanges")}
    may_be_empty |= {"gongji.notify.v1.ListWebhooksRequest"}
    violations = protovalidate.collect_violations(new(full_name))
    assert bool(violations) == (full_name not in may_be_empty)


def text_and_number_fields() -> list[tuple[str, str]]:
    found: set[tuple[str, str]] = set()
    for full_name in request_types():
        for field in all_fields(new(full_name).DESCRIPTOR, set()):
            owner = field.containing_type
            if owner is not None and owner.full_name.startswith("gongji.") and field.cpp_type in BOUNDED_TYPES:
                found.add((owner.full_name, field.name))
    return sorted(found)


@pytest.mark.parametrize(("message", "field"), text_and_number_fields())
def test_every_text_and_number_that_a_caller_sends_is_bounded(message: str, field: str) -> None:
    request = new(message)
    descriptor = request.DESCRIPTOR.fields_by_name[field]
    huge: Any = {
        FieldDescriptor.CPPTYPE_INT64: 2**62,
        FieldDescriptor.CPPTYPE_INT32: 2**31 - 1,
        FieldDescriptor.CPPTYPE_STRING: b"x" * 10_000
        if descriptor.type == FieldDescriptor.TYPE_BYTES
        else "x" * 10_000,
    }[descriptor.cpp_type]
    if descriptor.type == FieldDescriptor.TYPE_BYTES:
        huge = b"x" * 5_000_000
    if descriptor.is_repeated:
        getattr(request, field).append(huge)
    else:
        setattr(request, field, huge)
    named = {
        violation.proto.field.elements[0].field_name
        for violation in protovalidate.collect_violations(request)
        if violation.proto.field
    }
    assert field in named


def methods() -> Iterator[MethodDescriptor]:
    for contract in sorted((ROOT / "gongji").rglob("v1/*.proto")):
        file = descriptor_pool.Default().FindFileByName(str(contract.relative_to(ROOT)))
        for service in file.services_by_name.values():
            yield from service.methods


@pytest.mark.parametrize(
    "method", [one for one in methods() if not one.client_streaming], ids=lambda one: one.full_name
)
def test_a_method_only_reads_or_takes_a_request_id(method: MethodDescriptor) -> None:
    reads = method.GetOptions().idempotency_level == MethodOptions.NO_SIDE_EFFECTS
    takes = "request_id" in method.input_type.fields_by_name
    assert [reads, takes, method.full_name in KEYED_OTHERWISE].count(True) == 1
