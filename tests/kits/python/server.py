"""An application behind the kit: `gunicorn server:wsgi`, `uvicorn server:asgi`.

The file that KIT_CONTROL names says what time it is, and what the kit shall expect; a new name of a vector is a
new application.
"""

import json
import os
import sys

sys.path.insert(0, os.environ["KIT_FOLDER"])

from portvakt_verify import AsgiGuard, Refused, Verifier, WsgiGuard  # noqa: E402

guards = {}


class Closed:
    needs_body = False

    def check(self, *_):
        raise Refused("the application did not start")


def guard(make):
    with open(os.environ["KIT_CONTROL"], encoding="utf-8") as file:
        control = json.load(file)
    if guards.get("vector") != control["vector"]:
        clock = lambda: guards["now"]  # noqa: E731
        try:
            verifier = Verifier(control["config"], clock)
        except ValueError:
            # A configuration that it cannot check: the application would not start.
            verifier = Closed()
        guards.update(vector=control["vector"], guard=make(verifier))
    guards["now"] = control["now"]
    return guards["guard"]


def said(identity, body):
    return json.dumps({"who": identity.get("fnr"), "body": body.decode("latin-1")}).encode()


def wsgi(environ, start_response):
    def application(environ, start_response):
        body = environ["wsgi.input"].read()
        start_response("200 OK", [("Content-Type", "application/json")])
        return [said(environ["portvakt.identity"], body)]

    return guard(lambda verifier: WsgiGuard(application, verifier))(environ, start_response)


async def asgi(scope, receive, send):
    async def application(scope, receive, send):
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": said(scope["portvakt.identity"], body)})

    if scope["type"] == "http":
        await guard(lambda verifier: AsgiGuard(application, verifier))(scope, receive, send)
