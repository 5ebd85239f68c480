"""Checks that a request was made by Portvakt, the gateway in front of this application, and says for whom.

One file; needs `cryptography` and nothing else. What it demands is listed in deploy/verify/README.md. It fails
closed: a request that it does not understand is refused.

    verifier = Verifier({"audience": "app", "signature": {"algorithm": "ed25519", "keys": jwks_url}})
    application = WsgiGuard(application, verifier)      # Flask, Django: environ["portvakt.identity"]
    application = AsgiGuard(application, verifier)      # Starlette, FastAPI: scope["portvakt.identity"]
"""

import base64
import hashlib
import hmac
import json
import logging
import re
import threading
import time
import urllib.request

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, utils
from cryptography.hazmat.primitives.hashes import SHA256

LEEWAY = 10  # seconds that clocks may differ
LIFE = 30  # seconds that a signature lives
ASSERTION_LIFE = 60
MAX_NONCES = 1_000_000  # more within LIFE + LEEWAY are refused: fail closed
MAX_BODY = 64 * 1024  # the gateway signs no digest of more
COMPONENTS = ("@method", "@authority", "@path", "@query", "x-portvakt-audience")
JWK_ALG = {"ed25519": "EdDSA", "ecdsa-p256-sha256": "ES256", "EdDSA": "EdDSA", "ES256": "ES256"}
# What the assertion says too must be the same there: who it is, and for whom. Names of persons may be encoded otherwise.
TWICE = {
    "kind": "kind", "fnr": "fnr", "loa": "loa", "acr": "acr", "subject": "sub", "session": "session", "provider": "provider",
    "eidas_identifier": "eidas.identifier", "eidas_country": "eidas.country", "match_key": "match_key", "pseudonym": "pseudonym",
    "fhnummer": "fhnummer", "org": "orgs", "authorizer_fnr": "authorizer.fnr", "on_behalf_of": "on_behalf_of",
    "consumer": "consumer", "supplier": "supplier", "scope": "scope",
}
KNOWN = {
    "": {"audience": str, "signature": dict, "assertion": dict},
    "signature": {"algorithm": str, "keys": (str, list), "secrets": dict, "nonces": bool, "headers": list, "content_digest": bool,
                  "insecure_http_keys": bool},
    "assertion": {"algorithm": str, "keys": (str, list), "issuer": str, "insecure_http_keys": bool},
}


class Refused(Exception):
    """The request was not made by the gateway for this application. Its text is for the log, not the client."""


class Verifier:
    """Knows what to expect; may be shared by threads."""

    def __init__(self, config, clock=time.time):
        """`config` as deploy/verify/README.md describes it. `keys` is a JWKS URL, or the list of its keys."""
        for place, known in KNOWN.items():
            _judge(config.get(place) if place else config, known, place)
        self.audience = config["audience"]
        self.signature = config.get("signature")
        self.assertion = config.get("assertion")
        self.clock = clock
        if not self.audience or (self.signature is None and self.assertion is None):
            raise ValueError("say `audience`, and `signature`, `assertion` or both")
        if self.signature is not None:
            algorithm = self.signature["algorithm"]
            if algorithm == "hmac-sha256":
                self.secrets = {kid: _base64url(text) for kid, text in self.signature["secrets"].items()}
                if any(len(secret) != 32 for secret in self.secrets.values()):
                    raise ValueError("a secret is 32 bytes in base64url")
            elif algorithm in JWK_ALG:
                self.keys = KeySet(self.signature, clock)
            else:
                raise ValueError(f"no such algorithm: {algorithm}")
        if self.assertion is not None:
            self.assertion_keys = KeySet(self.assertion, clock)
            if self.assertion["algorithm"] not in ("ES256", "EdDSA") or not self.assertion["issuer"]:
                raise ValueError("`assertion` names `algorithm` (ES256 or EdDSA), `issuer` and `keys`")
        names = [name.lower() for name in (self.signature or {}).get("headers", [])]
        self.named = {_fold(name): name for name in names}
        self.nonces, self.pruned, self.prune_at = {}, 0, 1024
        self.lock = threading.Lock()

    @property
    def needs_body(self):
        return bool(self.signature and self.signature.get("content_digest"))

    def check(self, method, target, headers, body=b""):
        """Who is logged in: the facts of `X-Identity-…` by name, such as `fnr`; empty for nobody.

        `target` as it stood in the request line; `headers` as (name, value) pairs, each line one pair.
        Raises `Refused`.
        """
        headers = [(name.lower(), value.strip(" \t")) for name, value in headers]
        covered = self._signature(method, target, headers, body) if self.signature else set()
        identity = {}
        for name, value in headers:
            folded = _fold(name)
            named = self.named.get(folded)
            if named is None and not folded.startswith("x-identity"):
                continue
            ours = name == named if named else folded == name and name.startswith("x-identity-")
            if not ours or name in identity:
                raise Refused("an identity header that the gateway does not write")
            if self.signature and name not in covered:
                raise Refused("an identity header that the signature does not cover")
            identity[name] = value
        identity = {
            name[len("x-identity-"):].replace("-", "_"): value
            for name, value in identity.items() if name.startswith("x-identity-")
        }
        if self.assertion:
            identity = self._asserted(identity)
        return identity

    def _signature(self, method, target, headers, body):
        field = self._only(headers, "signature-input")
        match = re.fullmatch(r'portvakt=(\(("[^"\\]*"(?: "[^"\\]*")*)\)((?:;[a-z]+=(?:[0-9]+|"[^"\\]*"))*))', field)
        if not match:
            raise Refused("Signature-Input is not the gateway's")
        names = [name[1:-1] for name in match[2].split(" ")]
        pairs = re.findall(r';([a-z]+)=([0-9]+|"[^"\\]*")', match[3])
        given = dict(pairs)
        if len(given) != len(pairs) or len(set(names)) != len(names):
            raise Refused("something is said twice")
        if given.get("tag") != '"portvakt"':
            raise Refused("another tag")
        wanted = self.signature["algorithm"]
        if given.get("alg", f'"{wanted}"') != f'"{wanted}"':
            raise Refused("another algorithm")
        needed = COMPONENTS + (("content-digest",) if self.needs_body else ())
        if not set(needed) <= set(names):
            raise Refused("the signature does not cover enough")
        now = self.clock()
        created, expires = self._seconds(given, "created"), self._seconds(given, "expires")
        if created > now + LEEWAY or expires + LEEWAY < now or not 0 < expires - created <= LIFE:
            raise Refused("not now")
        signature = re.fullmatch(r"portvakt=:([A-Za-z0-9+/]+={0,2}):", self._only(headers, "signature"))
        if not signature:
            raise Refused("Signature is not the gateway's")
        base = self._base(names, match[1], method, target, headers)
        self._check_bytes(given.get("keyid", "").strip('"'), wanted, base, _base64(signature[1]))
        if self._only(headers, "x-portvakt-audience") != self.audience:
            raise Refused("for another audience")
        if self.needs_body:
            length = next((value for name, value in headers if name == "content-length"), str(len(body)))
            if length != str(len(body)):
                raise Refused("a body that somebody read before")
            digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
            if not hmac.compare_digest(self._only(headers, "content-digest"), f"sha-256=:{digest}:"):
                raise Refused("another body")
        if self.signature.get("nonces"):
            self._remember(given.get("nonce"), expires, now)
        return set(names)

    def _base(self, names, parameters, method, target, headers):
        path, mark, query = target.partition("?")
        derived = {
            "@method": lambda: method,
            "@authority": lambda: self._only(headers, "host").lower(),
            "@path": lambda: path,
            "@query": lambda: f"?{query}",
        }
        lines = []
        for name in names:
            if name.startswith("@") and name not in derived:
                raise Refused("a component that nobody knows")
            value = derived[name]() if name in derived else self._only(headers, name)
            lines.append(f'"{name}": {value}')
        base = "\n".join([*lines, f'"@signature-params": {parameters}'])
        if base.count("\n") != len(names) or not base.isascii():
            raise Refused("a value that cannot be signed")
        return base.encode()

    def _check_bytes(self, kid, algorithm, base, signature):
        if algorithm == "hmac-sha256":
            secret = self.secrets.get(kid)
            if not secret or not hmac.compare_digest(hmac.digest(secret, base, "sha256"), signature):
                raise Refused("the signature is wrong")
            return
        verify(self.keys.find(kid, JWK_ALG[algorithm]), base, signature)

    def _asserted(self, told):
        token = told.pop("assertion", None)
        if token is None:
            if told:
                raise Refused("identity headers without an assertion")
            return {}
        claims = self._claims(token)
        for fact, claim in TWICE.items():
            if fact in told and not _says(told[fact], _claim(claims, claim)):
                raise Refused("headers and assertion disagree")
        return claims

    def _claims(self, token):
        parts = token.split(".")
        if len(parts) != 3:
            raise Refused("no assertion")
        header, claims = (_json(_base64url(part)) for part in parts[:2])
        wanted = self.assertion["algorithm"]
        if header.get("alg") != wanted or header.get("typ") != "JWT" or "crit" in header:
            raise Refused("an assertion of another kind")
        key = self.assertion_keys.find(header.get("kid"), wanted)
        verify(key, f"{parts[0]}.{parts[1]}".encode(), _base64url(parts[2]))
        now, times = self.clock(), [claims.get("iat"), claims.get("exp")]
        if not all(isinstance(moment, int) and not isinstance(moment, bool) for moment in times):
            raise Refused("an assertion without times")
        if times[0] > now + LEEWAY or times[1] + LEEWAY < now or not 0 < times[1] - times[0] <= ASSERTION_LIFE:
            raise Refused("not now")
        if claims.get("iss") != self.assertion["issuer"] or claims.get("aud") != self.audience:
            raise Refused("by another issuer or for another audience")
        if not all(isinstance(claims.get(name), str) for name in ("sub", "kind", "session")):
            raise Refused("an assertion that does not say of whom it speaks")
        return claims

    def _remember(self, nonce, expires, now):
        with self.lock:
            # Whenever it has doubled, and at most once a second when it is full.
            if len(self.nonces) >= self.prune_at and now - self.pruned >= 1:
                self.nonces = {known: end for known, end in self.nonces.items() if end + LEEWAY >= now}
                self.prune_at, self.pruned = min(MAX_NONCES, max(1024, 2 * len(self.nonces))), now
            if not nonce or nonce in self.nonces or len(self.nonces) >= MAX_NONCES:
                raise Refused("replayed")
            self.nonces[nonce] = expires

    @staticmethod
    def _only(headers, name):
        values = [value for other, value in headers if other == name]
        if len(values) != 1:
            raise Refused(f"{len(values)} lines of {name!r}")
        return values[0]

    @staticmethod
    def _seconds(given, name):
        if not re.fullmatch(r"[0-9]{1,12}", given.get(name, "")):
            raise Refused(f"no {name}")
        return int(given[name])


class KeySet:
    """The published keys, fetched when they are five minutes old or lack a kid, at most once a minute."""

    def __init__(self, source, clock):
        keys = source["keys"]
        self.url = keys if isinstance(keys, str) else None
        # Who is on the way to http is the gateway.
        if self.url and not self.url.startswith("https://") and not source.get("insecure_http_keys") \
                and not re.match(r"http://(localhost|127\.0\.0\.1|\[::1\])[:/]", self.url):
            raise ValueError("`keys` are fetched over https, from elsewhere than this machine")
        self.keys = [] if self.url else keys
        self.clock, self.fetched, self.tried = clock, None, None
        self.lock = threading.Lock()

    def find(self, kid, alg):
        """The JWK; raises `Refused` if there is none of this kid and algorithm."""
        if self.url:
            self._refresh(kid)
        found = [key for key in self.keys if key.get("kid") == kid and key.get("alg") == alg]
        if len(found) != 1:
            raise Refused("a key that is not published")
        return found[0]

    def _refresh(self, kid):
        now = self.clock()
        known = any(key.get("kid") == kid for key in self.keys)
        if known and self.fetched is not None and now - self.fetched < 300:
            return
        # Who has no key waits for whom is fetching; the others go on with what is here.
        if not self.lock.acquire(blocking=not known):
            return
        try:
            if self.tried is not None and now - self.tried < 60:
                return
            self.tried = now
            with _OPENER.open(self.url, timeout=5) as answer:
                fresh = _json(answer.read(1_000_000))["keys"]
            # What is no key set takes the place of none.
            if isinstance(fresh, list) and fresh and all(isinstance(key, dict) for key in fresh):
                self.keys, self.fetched = fresh, now
        except Exception:  # noqa: BLE001 (the keys that are here go on)
            pass
        finally:
            self.lock.release()


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None  # an error, then


_OPENER = urllib.request.build_opener(_NoRedirect)


def verify(jwk, message, signature):
    """Verifies with the published key; raises `Refused`."""
    try:
        if jwk["kty"] == "OKP" and jwk["crv"] == "Ed25519":
            ed25519.Ed25519PublicKey.from_public_bytes(_base64url(jwk["x"])).verify(signature, message)
            return
        if jwk["kty"] == "EC" and jwk["crv"] == "P-256" and len(signature) == 64:
            x, y, r, s = (int.from_bytes(part, "big") for part in (
                _base64url(jwk["x"]), _base64url(jwk["y"]), signature[:32], signature[32:]))
            key = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
            key.verify(utils.encode_dss_signature(r, s), message, ec.ECDSA(SHA256()))
            return
    except (InvalidSignature, ValueError, KeyError) as error:
        raise Refused("the signature is wrong") from error
    raise Refused("the signature is wrong")


class WsgiGuard:
    """WSGI middleware. The server must tell the raw target in RAW_URI (gunicorn) or REQUEST_URI (uWSGI, mod_wsgi)."""

    def __init__(self, application, verifier):
        self.application, self.verifier = application, verifier

    def __call__(self, environ, start_response):
        target = environ.get("RAW_URI") or environ.get("REQUEST_URI")
        if not target:
            raise RuntimeError("this server does not tell the raw target (RAW_URI or REQUEST_URI): use one that does")
        try:
            body = self._body(environ) if self.verifier.needs_body else b""
            environ["portvakt.identity"] = self.verifier.check(
                environ["REQUEST_METHOD"], target, self._headers(environ), body)
        except Refused as error:
            environ["wsgi.errors"].write(f"portvakt: refused: {error}\n")
            start_response("403 Forbidden", [("Content-Type", "text/plain"), ("Cache-Control", "no-store")])
            return [b"Not by way of the gateway.\n"]
        return self.application(environ, start_response)

    @staticmethod
    def _headers(environ):
        # CGI has folded the names already: a doubled header or an underscore twin has changed the value.
        headers = [(name[5:].replace("_", "-"), value) for name, value in environ.items() if name.startswith("HTTP_")]
        return headers + [("content-length", environ["CONTENT_LENGTH"])] if environ.get("CONTENT_LENGTH") else headers

    @staticmethod
    def _body(environ):
        import io
        body = environ["wsgi.input"].read(MAX_BODY + 1)
        if len(body) > MAX_BODY:
            raise Refused("a body that is too long to be signed")
        environ["wsgi.input"] = io.BytesIO(body)
        return body


class AsgiGuard:
    """ASGI middleware for HTTP and WebSocket handshakes. The server must give `raw_path` (uvicorn, hypercorn)."""

    def __init__(self, application, verifier):
        self.application, self.verifier = application, verifier

    async def __call__(self, scope, receive, send):
        if scope["type"] not in ("http", "websocket"):
            return await self.application(scope, receive, send)
        if not scope.get("raw_path"):
            raise RuntimeError("this server does not tell the raw path (`raw_path`): use one that does")
        query = scope.get("query_string", b"")
        target = scope["raw_path"].split(b"?")[0] + (b"?" + query if query else b"")
        body = b""
        try:
            if self.verifier.needs_body and scope["type"] == "http":
                body, receive = await self._body(receive)
            headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
            scope["portvakt.identity"] = self.verifier.check(
                scope.get("method", "GET"), target.decode("latin-1"), headers, body)
        except Refused as error:
            logging.getLogger("portvakt").warning("refused: %s", error)
            if scope["type"] == "websocket":
                return await send({"type": "websocket.close", "code": 1008})
            await send({"type": "http.response.start", "status": 403, "headers": [(b"cache-control", b"no-store")]})
            return await send({"type": "http.response.body", "body": b"Not by way of the gateway.\n"})
        return await self.application(scope, receive, send)

    @staticmethod
    async def _body(receive):
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if len(body) > MAX_BODY:
                raise Refused("a body that is too long to be signed")
            if message["type"] != "http.request" or not message.get("more_body"):
                break
        sent = False

        async def again():
            nonlocal sent
            if sent:
                return await receive()
            sent = True
            return {"type": "http.request", "body": body, "more_body": False}

        return body, again


def _judge(given, known, place):
    # A misspelt key would switch off what it was to demand.
    if given is None and place:
        return
    if not isinstance(given, dict):
        raise ValueError(f"`{place or 'the configuration'}` is a dict")
    for name, value in given.items():
        if name not in known:
            raise ValueError(f"no such key: {place + '.' if place else ''}{name}")
        if value is not None and not isinstance(value, known[name]):
            raise ValueError(f"`{name}` is of another type")
    if not all(isinstance(name, str) for name in given.get("headers") or []):
        raise ValueError("`headers` is a list of names")


def _claim(claims, name):
    for part in name.split("."):
        claims = claims.get(part) if isinstance(claims, dict) else None
    return claims


def _says(header, claim):
    if isinstance(claim, list):
        return header in [separator.join(map(str, claim)) for separator in ",;^|"]
    # Some are percent-encoded, as the contract has it.
    return isinstance(claim, str) and header in (claim, "".join(
        chr(byte) if 32 <= byte < 127 and byte != 37 else f"%{byte:02X}" for byte in claim.encode()))


def _fold(name):
    # As a server that maps names to variables takes them for one another.
    return re.sub(r"[^a-z0-9]", "-", name)


def _base64(text):
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:
        raise Refused("no base64") from error


def _base64url(text):
    if not re.fullmatch(r"[A-Za-z0-9_-]*", text):
        raise Refused("no base64url")
    return _base64(text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4))


def _json(text):
    def once(pairs):
        if len({name for name, _ in pairs}) != len(pairs):
            raise ValueError("a member twice")
        return dict(pairs)

    try:
        value = json.loads(text, object_pairs_hook=once)
    except (ValueError, RecursionError) as error:
        raise Refused("no JSON") from error
    if not isinstance(value, dict):
        raise Refused("no JSON object")
    return value
