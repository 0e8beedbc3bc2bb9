"""What identifies a person, as the database has it: encrypted to be read back, hashed by key to be found."""

from collections.abc import Sequence
from datetime import date
from hashlib import sha256
from typing import NamedTuple
from uuid import UUID

from identity.domain.certificate import Certificate, CertificateType, comparable_name
from identity.domain.person import Person
from identity.domain.register import RegisterRow, RowRefused
from kit.crypto import KeyRing

_SEPARATOR = "\x1f"  # in no number and no name, so that two pairs never make one text


class SealedPerson(NamedTuple):
    """The encrypted columns of `insured`. A tuple, as what follows: half a million of them are made and copied."""

    name_ct: bytes
    tel_ct: bytes | None
    card_sn_ct: bytes | None


class SealedCertificate(NamedTuple):
    """The columns of `insured_certificate`, in the order in which they are written."""

    psn_no: str
    psn_cert_type: str
    number_ct: bytes
    number_index: bytes
    real_name_index: bytes
    card_index: bytes | None
    stated_index: bytes


class Vault:
    """Seals and opens by the service's key ring. Each ciphertext is bound to its person and column."""

    def __init__(self, ring: KeyRing) -> None:
        self._ring = ring

    def seal(self, person: Person) -> tuple[SealedPerson, list[SealedCertificate]]:
        """The person's encrypted columns, and the rows of the certificates."""
        numbers = [(f"number {one.type}", one.number) for one in person.certificates]
        ((name_ct, tel_ct, card_sn_ct, *number_cts),) = self._ring.encrypt_records([_texts(person, numbers)])
        rows = []
        for certificate, number_ct in zip(person.certificates, number_cts, strict=True):
            index = self.stated_index(person.name, certificate, person.brdy, person.tel, person.card_sn)
            rows.append(self._certificate_row(person, certificate, number_ct, index))
        return _columns(person, name_ct, tel_ct, card_sn_ct), rows

    def seal_rows(self, rows: Sequence[tuple[RegisterRow, bytes]]) -> list[tuple[SealedPerson, SealedCertificate]]:
        """What `seal` makes of persons who come about from one row alone, each with its stated_index; in one go."""
        records = [_texts(row, [(f"number {row.certificate.type}", row.certificate.number)]) for row, _ in rows]
        ciphertexts = self._ring.encrypt_records(records)
        return [
            (
                _columns(row, name_ct, tel_ct, card_sn_ct),
                self._certificate_row(row, row.certificate, number_ct, stated_index),
            )
            for (row, stated_index), (name_ct, tel_ct, card_sn_ct, number_ct) in zip(rows, ciphertexts, strict=True)
        ]

    def _certificate_row(
        self, whose: Person | RegisterRow, certificate: Certificate, number_ct: bytes, stated_index: bytes
    ) -> SealedCertificate:
        return SealedCertificate(
            whose.psn_no,
            certificate.type,
            number_ct,
            self.number_index(certificate),
            self.real_name_index(whose.name, certificate),
            self.card_index(certificate.number, whose.card_sn) if whose.card_sn else None,
            stated_index,
        )

    def open(self, ciphertext: bytes | None, column: str, psn_no: str) -> str:
        """What a column of `insured` says; empty for null."""
        return self._decrypt(ciphertext, column, psn_no) if ciphertext is not None else ""

    def open_certificate(self, psn_no: str, psn_cert_type: str, number_ct: bytes) -> Certificate:
        """The certificate in a row."""
        number = self._decrypt(number_ct, f"number {psn_cert_type}", psn_no)
        return Certificate(CertificateType(psn_cert_type), number)

    def number_index(self, certificate: Certificate) -> bytes:
        """Finds a certificate by its number."""
        return self._ring.blind_index(_SEPARATOR.join((certificate.type, certificate.number)), "certificate")

    def real_name_index(self, name: str, certificate: Certificate) -> bytes:
        """Finds a person by certificate and name together, however the name is spaced or dotted."""
        told = _SEPARATOR.join((certificate.type, certificate.number, comparable_name(name)))
        return self._ring.blind_index(told, "real name")

    def card_index(self, number: str, card_sn: str) -> bytes:
        """Finds a person by a certificate's number and the social security card together."""
        return self._ring.blind_index(_SEPARATOR.join((number, card_sn)), "social security card")

    def stated_index(self, name: str, certificate: Certificate, brdy: date, tel: str, card_sn: str) -> bytes:
        """Tells whether a register's row says what is on record, all of it but the enrolment, with nothing opened."""
        told = (certificate.type, certificate.number, name, brdy.isoformat(), tel, card_sn)
        return self._ring.blind_index(_SEPARATOR.join(told), "stated")

    def row_fingerprint(self, row: RegisterRow | RowRefused, stated_index: bytes) -> bytes:
        """Tells whether a row that is sent again is the same; of a refused row the reason."""
        if isinstance(row, RowRefused):
            return self._ring.blind_index(str(row), "refused row")
        # The rest of the row is in the clear in the database, so that no further key is needed.
        return sha256(stated_index + _said_besides(row)).digest()

    def voucher_index(self, token: str) -> bytes:
        """Finds a voucher by its token."""
        return self._ring.blind_index(token, "voucher")

    def code_index(self, verification_id: UUID, code: str) -> bytes:
        """What a one-time code is kept as; of its verification too, so that equal codes do not look equal."""
        return self._ring.blind_index(_SEPARATOR.join((str(verification_id), code)), "verification code")

    def subject_index(self, subject: str) -> bytes:
        """Finds the attempts about somebody."""
        return self._ring.blind_index(subject, "attempts about")

    def caller_index(self, caller: str) -> bytes:
        """Finds the attempts that a caller made."""
        return self._ring.blind_index(caller, "attempts by")

    def _decrypt(self, ciphertext: bytes, column: str, psn_no: str) -> str:
        return self._ring.decrypt(ciphertext, context_of(column, psn_no)).decode()


def _texts(whose: Person | RegisterRow, numbers: Sequence[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    """What is to be sealed of somebody, with its context; the numbers by column come last."""
    texts = (("name", whose.name), ("tel", whose.tel), ("card_sn", whose.card_sn), *numbers)
    return [(text.encode(), context_of(column, whose.psn_no)) for column, text in texts]


def _columns(whose: Person | RegisterRow, name_ct: bytes, tel_ct: bytes, card_sn_ct: bytes) -> SealedPerson:
    return SealedPerson(name_ct, tel_ct if whose.tel else None, card_sn_ct if whose.card_sn else None)


def _said_besides(row: RegisterRow) -> bytes:
    stated = row.enrolment
    period = (stated.valid_from.isoformat(), stated.valid_to.isoformat() if stated.valid_to else "")
    standing = (stated.insutype, stated.insuplc_admdvs, stated.psn_insu_stas, "1" if stated.arrears else "0")
    return _SEPARATOR.join((row.psn_no, *standing, *period)).encode()


def context_of(column: str, psn_no: str) -> bytes:
    """What a ciphertext is bound to: the column and whose it is."""
    return f"identity insured {column} {psn_no}".encode()
