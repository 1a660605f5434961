"""Signatures by the Standard Webhooks specification: HMAC-SHA256 over `id.timestamp.body`.

A secret is `whsec_` and the base64 of 24 to 64 random bytes. During a rotation there are several:
a message is signed with each, and is good if any of them made one of its signatures.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import Iterable, Mapping

PREFIX = "whsec_"
TOLERANCE_SECONDS = 300
MIN_KEY_BYTES, MAX_KEY_BYTES = 24, 64


class InvalidSignature(Exception):
    """Why a message is not taken for one of ours."""


def decode_secret(secret: str) -> bytes:
    """The key of a secret; ValueError says what is wrong, without showing the secret."""
    if not secret.startswith(PREFIX):
        raise ValueError(f"a webhook secret starts with {PREFIX}")
    try:
        key = base64.b64decode(secret[len(PREFIX) :], validate=True)
    except binascii.Error:
        raise ValueError(f"what follows {PREFIX} is not base64") from None
    if not MIN_KEY_BYTES <= len(key) <= MAX_KEY_BYTES:
        raise ValueError(f"it has {len(key)} bytes; {MIN_KEY_BYTES} to {MAX_KEY_BYTES} are wanted")
    return key


def sign(secrets: Iterable[str], message_id: str, timestamp: int, body: bytes) -> str:
    """The value of `webhook-signature`: one signature for each secret."""
    content = f"{message_id}.{timestamp}.".encode() + body
    digests = (hmac.digest(decode_secret(secret), content, hashlib.sha256) for secret in secrets)
    return " ".join("v1," + base64.b64encode(digest).decode() for digest in digests)


def headers(
    secrets: Iterable[str], message_id: str, body: bytes, now: float | None = None
) -> dict[str, str]:
    """The three header fields of a signed message."""
    timestamp = int(time.time() if now is None else now)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": sign(secrets, message_id, timestamp, body),
    }


def verify(
    secrets: Iterable[str], fields: Mapping[str, str], body: bytes, now: float | None = None
) -> str:
    """Checks a message and returns its id; InvalidSignature says which check failed."""
    given = {name.lower(): value for name, value in fields.items()}
    message_id, stamp = given.get("webhook-id", ""), given.get("webhook-timestamp", "")
    if not message_id:
        raise InvalidSignature("webhook-id is missing")
    if not (stamp.isascii() and stamp.isdigit()):
        raise InvalidSignature("webhook-timestamp is missing or not a number")
    moment = int(time.time() if now is None else now)
    if abs(moment - int(stamp)) > TOLERANCE_SECONDS:
        raise InvalidSignature("webhook-timestamp is out of tolerance")
    wanted = sign(secrets, message_id, int(stamp), body).split()
    known = False
    for signature in given.get("webhook-signature", "").split():
        for one in wanted:
            known |= hmac.compare_digest(signature.encode(), one.encode())
    if not known:
        raise InvalidSignature("no secret made the signature")
    return message_id
