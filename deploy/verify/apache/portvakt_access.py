"""Checks in Apache that a request was made by Portvakt, the gateway in front, before the application gets it.

For `WSGIAccessScript` of mod_wsgi, with `portvakt_verify.py` of the Python kit and the configuration
`portvakt.json` in the same folder. Fails closed: whatever goes wrong here is answered by Apache with 403 or 500.
"""

import json
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

from portvakt_verify import Refused, Verifier, WsgiGuard  # noqa: E402


def verifier(config, **clock):
    """What to expect. Raises ValueError for what cannot be checked at this place."""
    signature = config.get("signature")
    if not signature:
        # The application behind reads headers, and the assertion does not cover them all.
        raise ValueError("say `signature`: the assertion alone does not cover the headers")
    if signature.get("content_digest"):
        raise ValueError("the body cannot be checked here: leave `content_digest` out")
    if signature.get("nonces"):
        raise ValueError("Apache's processes do not share nonces: leave `nonces` out")
    return Verifier(config, **clock)


def allowed(environ, verifier):
    """Whether the gateway made this request; what was wrong is in the error log."""
    try:
        # Apache has left out names with odd letters; portvakt.conf refuses those that matter.
        verifier.check(environ["REQUEST_METHOD"], environ["REQUEST_URI"], WsgiGuard._headers(environ))
    except Refused as error:
        print(f"portvakt: refused: {error}", file=sys.stderr, flush=True)
        return False
    return True


def allow_access(environ, host):
    """What mod_wsgi calls for each request."""
    global configured
    if configured is None:
        with open(os.path.join(HERE, "portvakt.json"), encoding="utf-8") as file:
            configured = verifier(json.load(file))
    return allowed(environ, configured)


configured = None
