"""Checks captured requests with implementations of RFC 9421 and RFC 7519 that are not ours.

Usage: python independent.py LIVE: the PyPI packages http-message-signatures and PyJWT must accept each request.
"""

import base64
import json
import sys
from datetime import timedelta

import jwt
from http_message_signatures import HTTPMessageVerifier, HTTPSignatureKeyResolver, algorithms

ALGORITHMS = {
    "ed25519": algorithms.ED25519,
    "ecdsa-p256-sha256": algorithms.ECDSA_P256_SHA256,
    "hmac-sha256": algorithms.HMAC_SHA256,
}


class Message:
    """A request as that package reads it."""

    def __init__(self, step):
        self.method = step["method"]
        self.headers = dict(step["headers"])
        self.url = f"http://{self.headers['Host']}{step['target']}"
        self.body = base64.b64decode(step.get("body", ""))


class Keys(HTTPSignatureKeyResolver):
    """The published keys, or the secrets."""

    def __init__(self, signature):
        self.signature = signature

    def resolve_public_key(self, key_id):
        if "secrets" in self.signature:
            return base64.urlsafe_b64decode(self.signature["secrets"][key_id] + "=")
        return next(jwt.PyJWK(key).key for key in self.signature["keys"] if key["kid"] == key_id)


def check(config, step):
    message = Message(step)
    if signature := config.get("signature"):
        verifier = HTTPMessageVerifier(
            signature_algorithm=ALGORITHMS[signature["algorithm"]], key_resolver=Keys(signature)
        )
        (result,) = verifier.verify(message, max_age=timedelta(minutes=1))
        assert result.parameters["tag"] == "portvakt"
        covered = {str(name).strip('"') for name in result.covered_components}
        told = {name.lower() for name in message.headers if name.lower().startswith("x-identity-")}
        assert told <= covered, told - covered
    if (expected := config.get("assertion")) and step["who"] is not None:
        token = message.headers["X-Identity-Assertion"]
        kid = jwt.get_unverified_header(token)["kid"]
        key = next(jwt.PyJWK(key) for key in expected["keys"] if key["kid"] == kid)
        claims = jwt.decode(
            token,
            key,
            algorithms=[expected["algorithm"]],
            issuer=expected["issuer"],
            audience=config["audience"],
            leeway=10,
            options={"require": ["iss", "aud", "exp", "iat", "sub", "jti"]},
        )
        assert claims["fnr"] == step["who"]


with open(sys.argv[1], encoding="utf-8") as file:
    live = json.load(file)
for vector in live["vectors"]:
    for step in vector["steps"]:
        check(live["configs"][vector["config"]], step)
print(f"{len(live['vectors'])} captured requests accepted by independent implementations")
