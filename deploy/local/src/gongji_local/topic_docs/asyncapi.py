"""The topics as an AsyncAPI 3 document."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml
from jsonschema import Draft7Validator
from jsonschema.exceptions import best_match

from gongji_local.topic_docs.contracts import Contracts
from gongji_local.topic_docs.excerpt import excerpt
from gongji_local.topic_docs.headers import HEADERS, Header
from kit.events import CONTENT_TYPE
from kit.topics import Catalogue, Topic

VERSION: Final = "3.0.0"
_BINDING: Final = "0.5.0"
_PROTOBUF: Final = "application/vnd.google.protobuf;version=3"
_DESCRIPTION: Final = """\
What Gongji (family mutual aid in medical insurance) tells other systems. Records are CloudEvents 1.0 in binary mode:
the value is the protobuf message, the rest is in headers. Events of one key come in order; any event may come more
than once, with the same ce_id. People are named by psn_no only: no names, no numbers of certificates, no telephones.
Change is additive: new fields, new events; anything else is a new topic -v2.
"""


class AsyncApiError(Exception):
    """The document is not what AsyncAPI's schema asks for."""


def document(catalogue: Catalogue, contracts: Contracts, examples: Path, version: str) -> dict[str, Any]:
    """The document: a channel for each topic, a message for each event."""
    topics = list(catalogue.topics.values())
    return {
        "asyncapi": VERSION,
        "info": _info(version),
        "defaultContentType": CONTENT_TYPE,
        "servers": {"brokers": _server()},
        "channels": {topic.name: _channel(topic) for topic in topics},
        "operations": {f"publish-{topic.name}": _operation(topic) for topic in topics},
        "components": {
            "messages": {name: _message(topic, name, contracts, examples) for topic in topics for name in topic.schema},
            "schemas": {"CloudEvent": _headers()},
            "securitySchemes": {"clientCertificate": {"type": "X509", "description": "A client certificate."}},
        },
    }


def validate(stated: Mapping[str, Any], schema: Path) -> None:
    """Hold a document to AsyncAPI's own JSON Schema.

    Raises:
        AsyncApiError: with the first thing that is wrong, and where.
    """
    validator = Draft7Validator(json.loads(schema.read_text(encoding="utf-8")))
    error = best_match(validator.iter_errors(stated))
    if error is not None:
        raise AsyncApiError(f"{error.json_path}: {error.message}")


def written(stated: Mapping[str, Any]) -> str:
    """The document as YAML, in the order in which it was built, texts of several lines as such."""
    return yaml.dump(stated, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10_000)


class _Dumper(yaml.SafeDumper):
    """YAML that people read."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - the library's signature
        return True


def _text(dumper: _Dumper, text: str) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def _info(version: str) -> dict[str, Any]:
    return {
        "title": "Gongji: topics",
        "version": version,
        "description": _DESCRIPTION,
        "license": {"name": "Apache-2.0"},
    }


def _server() -> dict[str, Any]:
    return {
        "host": "{bootstrap}",
        "protocol": "kafka-secure",
        "description": "The deployment's brokers.",
        "variables": {"bootstrap": {"description": "host:port of one or more brokers, as the operator tells."}},
        "security": [{"$ref": "#/components/securitySchemes/clientCertificate"}],
    }


def _channel(topic: Topic) -> dict[str, Any]:
    return {
        "address": topic.name,
        "description": topic.description.en,
        "messages": {_short(name): {"$ref": f"#/components/messages/{name}"} for name in topic.schema},
        "bindings": {"kafka": _topic_binding(topic)},
        "x-description-zh": topic.description.zh,
        "x-owner": topic.owner,
        "x-key": topic.key.en,
    }


def _topic_binding(topic: Topic) -> dict[str, Any]:
    configuration = {
        "cleanup.policy": topic.cleanup_policy.value.split(","),
        "retention.ms": topic.retention_ms,
        "min.insync.replicas": topic.min_insync_replicas,
    }
    return {
        "topic": topic.name,
        "partitions": topic.partitions,
        "replicas": topic.replication,
        "topicConfiguration": configuration,
        "bindingVersion": _BINDING,
    }


def _operation(topic: Topic) -> dict[str, Any]:
    channel = f"#/channels/{topic.name}"
    return {
        "action": "send",
        "channel": {"$ref": channel},
        "summary": f"{topic.owner} publishes.",
        "messages": [{"$ref": f"{channel}/messages/{_short(name)}"} for name in topic.schema],
    }


def _message(topic: Topic, full_name: str, contracts: Contracts, examples: Path) -> dict[str, Any]:
    example = json.loads((examples / f"{full_name}.json").read_text(encoding="utf-8"))
    return {
        "name": full_name,
        "title": _short(full_name),
        "summary": contracts.message(full_name).comment,
        "contentType": CONTENT_TYPE,
        "headers": {
            "allOf": [
                {"$ref": "#/components/schemas/CloudEvent"},
                {"type": "object", "properties": {"ce_type": {"const": full_name}}},
            ]
        },
        "payload": {"schemaFormat": _PROTOBUF, "schema": excerpt(contracts, full_name)},
        "bindings": {
            "kafka": {"key": {"type": "string", "description": topic.key.en}, "bindingVersion": _BINDING},
        },
        "examples": [{"name": "golden", "summary": "In protobuf's JSON.", "payload": example}],
        "x-proto-file": contracts.places[full_name].file,
    }


def _headers() -> dict[str, Any]:
    return {
        "type": "object",
        "required": [header.name for header in HEADERS if header.is_always_there],
        "properties": {header.name: _header(header) for header in HEADERS},
    }


def _header(header: Header) -> dict[str, Any]:
    stated: dict[str, Any] = {"type": "string", "description": header.description}
    return stated | ({"const": header.constant} if header.constant else {"examples": [header.example]})


def _short(full_name: str) -> str:
    return full_name.rpartition(".")[2]
