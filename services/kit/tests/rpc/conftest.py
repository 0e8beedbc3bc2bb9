"""A service with one method of each shape, built from a descriptor, and certificates to call it with."""

import json
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import jwt
import pytest
from buf.validate import validate_pb2
from cryptography.hazmat.primitives.asymmetric import ed25519
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from kit.auth import Access, institutions, people, services
from kit.clock import FixedClock
from kit.grpc_client import TlsFiles, secure_channel
from kit.grpc_server import GrpcServer
from kit.requests import MemoryOnce
from kit.testing_tls import Pki

PACKAGE = "kit.test.v1"
SERVICE = f"{PACKAGE}.EchoService"
SHAPES = {
    "One": (False, False),
    "Many": (False, True),
    "Collect": (True, False),
    "Converse": (True, True),
    "Pour": (False, True),
    "ForPeople": (False, False),
    "Unlisted": (False, False),
    "Look": (False, False),
    "Write": (False, False),
}


def _file() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(
        name="kit/test/v1/echo.proto", package=PACKAGE, syntax="proto3", dependency=["buf/validate/validate.proto"]
    )
    item = file.message_type.add(name="Item")
    amount = item.field.add(name="amount_fen", number=1, type=3, label=1)
    amount.options.Extensions[validate_pb2.field].int64.gt = 0
    request = file.message_type.add(name="EchoRequest")
    text = request.field.add(name="text", number=1, type=9, label=1)
    text.options.Extensions[validate_pb2.field].string.max_len = 40
    request.field.add(name="items", number=2, type=11, type_name=f".{PACKAGE}.Item", label=3)
    request.field.add(name="blob", number=3, type=12, label=1)
    write = file.message_type.add(name="WriteRequest")
    write.field.add(name="text", number=1, type=9, label=1)
    write.field.add(name="request_id", number=2, type=9, label=1)
    file.message_type.add(name="EchoResponse").field.add(name="text", number=1, type=9, label=1)
    service = file.service.add(name="EchoService")
    for name, (request_streaming, response_streaming) in SHAPES.items():
        method = service.method.add(
            name=name,
            input_type=f".{PACKAGE}.{_request_of(name)}",
            output_type=f".{PACKAGE}.EchoResponse",
            client_streaming=request_streaming,
            server_streaming=response_streaming,
        )
        if name == "Look":
            method.options.idempotency_level = descriptor_pb2.MethodOptions.NO_SIDE_EFFECTS
    return file


def _request_of(method: str) -> str:
    return "WriteRequest" if method == "Write" else "EchoRequest"


def _messages() -> Any:
    pool = descriptor_pool.Default()
    try:
        pool.FindFileByName("kit/test/v1/echo.proto")
    except KeyError:
        pool.AddSerializedFile(_file().SerializeToString())
    found = {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.{name}"))
        for name in ("Item", "EchoRequest", "WriteRequest", "EchoResponse")
    }
    return SimpleNamespace(**found)


ECHO = _messages()
_MAKERS: dict[tuple[bool, bool], Callable[..., Any]] = {
    (False, False): grpc.unary_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, False): grpc.stream_unary_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}


def add_echo(servicer: Any, server: Any) -> None:
    """What the generated function would be."""
    handlers = {
        name: _MAKERS[shape](
            getattr(servicer, name),
            request_deserializer=getattr(ECHO, _request_of(name)).FromString,
            response_serializer=ECHO.EchoResponse.SerializeToString,
        )
        for name, shape in SHAPES.items()
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    server.add_registered_method_handlers(SERVICE, handlers)


class Echo:
    """Answers with what it was sent, unless a test gave it something else to do."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.do: Callable[[Any, Any], Any] | None = None
        self.pour: Callable[[Any, Any], AsyncIterator[Any]] | None = None

    async def One(self, request: Any, context: Any) -> Any:  # noqa: N802 - the contract's name
        self.seen.append(request.text)
        answer = await self.do(request, context) if self.do else None
        return ECHO.EchoResponse(text=request.text) if answer is None else answer

    ForPeople = One
    Unlisted = One
    Look = One
    Write = One

    async def Many(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        for letter in request.text:
            if self.do:
                await self.do(request, context)
            yield ECHO.EchoResponse(text=letter)

    async def Pour(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        if self.pour:
            async for answer in self.pour(request, context):
                yield answer

    async def Collect(self, requests: AsyncIterator[Any], context: Any) -> Any:  # noqa: N802
        texts = []
        async for request in requests:
            if self.do:
                await self.do(request, context)
            texts.append(request.text)
        return ECHO.EchoResponse(text="".join(texts))

    async def Converse(self, requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:  # noqa: N802
        async for request in requests:
            if self.do:
                await self.do(request, context)
            yield ECHO.EchoResponse(text=request.text.upper())


@dataclass
class Running:
    """A server that listens, its servicer, and who may connect to it."""

    server: GrpcServer
    echo: Echo
    pki: Pki
    clock: FixedClock
    signing_key: ed25519.Ed25519PrivateKey
    messages: Any = field(default_factory=lambda: ECHO)

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.server.port}"

    def channel(self, tls: TlsFiles | None = None, **more: Any) -> grpc.aio.Channel:
        return secure_channel(self.target, tls or self.pki.institution("H65270100001"), **more)

    def citizen(self) -> tuple[tuple[str, str], ...]:
        """The metadata of a call for a registered citizen."""
        now = int(self.clock.now().timestamp())
        claims = {
            "iss": "gongji-portal",
            "aud": "binding",
            "sub": "psn:P1",
            "psn_no": "P1",
            "roles": ["citizen"],
            "jti": uuid.uuid4().hex,
            "iat": now,
            "exp": now + 60,
        }
        return (("x-gongji-assertion", jwt.encode(claims, self.signing_key, algorithm="EdDSA", headers={"kid": "p1"})),)

    def method(self, channel: grpc.aio.Channel, name: str, *, raw: bool = False) -> Any:
        kind = "_".join("stream" if streaming else "unary" for streaming in SHAPES[name])
        return getattr(channel, kind)(
            f"/{SERVICE}/{name}",
            request_serializer=None if raw else getattr(ECHO, _request_of(name)).SerializeToString,
            response_deserializer=ECHO.EchoResponse.FromString,
        )

    async def each(self, *texts: str) -> AsyncIterator[Any]:
        """A stream of requests."""
        for text in texts:
            yield self.messages.EchoRequest(text=text)

    async def drained(self, call: Any) -> list[str]:
        """A stream of answers, to its end."""
        return [answer.text async for answer in call]


ACCESS: dict[str, Access] = {
    f"/{SERVICE}/{name}": institutions() | services("settlement")
    for name in ("One", "Many", "Collect", "Converse", "Pour", "Write")
} | {f"/{SERVICE}/{name}": people("citizen") for name in ("ForPeople", "Look")}


@dataclass(frozen=True)
class Settings:
    """What a server is told, without an environment."""

    grpc_address: str
    tls_cert_file: Path
    tls_key_file: Path
    institution_ca_file: Path
    service_ca_file: Path
    jwks_file: Path
    trust_domain: str = "gongji-test"
    grpc_reflection: bool = False
    grpc_max_concurrent: int = 16


def jwks_file(folder: Path, key: ed25519.Ed25519PrivateKey) -> Path:
    import base64

    public = base64.urlsafe_b64encode(key.public_key().public_bytes_raw()).rstrip(b"=").decode()
    jwk = {"kty": "OKP", "crv": "Ed25519", "kid": "p1", "x": public}
    portal = {"roles": ["citizen"], "caller": "service/portal", "jwks": {"keys": [jwk]}}
    clerks = {"roles": ["handler", "decider"], "caller": "service/portal", "jwks": {"keys": [jwk | {"kid": "o1"}]}}
    path = folder / "issuers.json"
    path.write_text(json.dumps({"issuers": {"gongji-portal": portal, "gongji-operators": clerks}}))
    return path


Serve = Callable[..., AbstractAsyncContextManager[Running]]


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="session")
def signing_key() -> ed25519.Ed25519PrivateKey:
    return ed25519.Ed25519PrivateKey.generate()


@pytest.fixture(scope="session")
def issuers_file(tmp_path_factory: pytest.TempPathFactory, signing_key: ed25519.Ed25519PrivateKey) -> Path:
    return jwks_file(tmp_path_factory.mktemp("jwks"), signing_key)


@pytest.fixture
def echo() -> Any:
    """The messages of the service."""
    return ECHO


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(datetime(2025, 6, 1, 4, 0, tzinfo=UTC))


@pytest.fixture
def serve(pki: Pki, clock: FixedClock, issuers_file: Path, signing_key: ed25519.Ed25519PrivateKey) -> Serve:
    """Start a server: `async with serve(max_concurrent=…, …) as running`."""
    tls = pki.service("binding")

    @asynccontextmanager
    async def start(
        *, reflection: bool = False, max_concurrent: int = 16, address: str = "127.0.0.1:0", **more: Any
    ) -> AsyncIterator[Running]:
        echo = Echo()
        more.setdefault("once", MemoryOnce())
        issuers: Path = more.pop("issuers", issuers_file)
        settings = Settings(
            grpc_address=address,
            tls_cert_file=tls.cert,
            tls_key_file=tls.key,
            institution_ca_file=pki.institution_ca_file,
            service_ca_file=pki.service_ca_file,
            jwks_file=issuers,
            grpc_reflection=reflection,
            grpc_max_concurrent=max_concurrent,
        )
        server = GrpcServer(settings, [(add_echo, echo, SERVICE)], ACCESS, clock, service_name="binding", **more)
        await server.start()
        try:
            yield Running(server, echo, pki, clock, signing_key)
        finally:
            await server.stop(0)

    return start
