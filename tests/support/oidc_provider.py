"""An OpenID Connect provider on loopback: it logs in whom a test says, and lies in every known way."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
import time
from typing import Any
from urllib.parse import parse_qsl, urlencode

import msgspec
import uvicorn
from joserfc import jws
from joserfc.jwk import RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route
from support.ports import free_port

CLIENT, SECRET = "inspectd-page", "a secret that nobody guesses"


class Begun(msgspec.Struct):
    """A login under way: what the client asked with."""

    nonce: str
    challenge: str
    address: str


class OidcServer:
    """The provider; `claims` are those of the next person, `lies` replace parts of what it signs."""

    def __init__(self) -> None:
        self.port = free_port()
        self.issuer = f"http://127.0.0.1:{self.port}/realms/plant"
        self.claims: dict[str, Any] = {}
        self.lies: dict[str, Any] = {}
        self.header: dict[str, Any] = {}
        self.asked: list[dict[str, str]] = []
        self.key = self.signs_with = RSAKey.generate_key(2048, {"kid": "1"})
        self._begun: dict[str, Begun] = {}
        routes = [
            Route("/realms/plant/.well-known/openid-configuration", self._describe),
            Route("/realms/plant/authorize", self._authorize),
            Route("/realms/plant/token", self._token, methods=["POST"]),
            Route("/realms/plant/keys", self._keys),
        ]
        config = uvicorn.Config(Starlette(routes=routes), port=self.port, log_level="error", lifespan="off")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        while not self._server.started:
            time.sleep(0.01)

    def close(self) -> None:
        """End it."""
        self._server.should_exit = True
        self._thread.join()

    def change_keys(self) -> None:
        """Sign with another key from now on, which it tells who asks."""
        self.key = self.signs_with = RSAKey.generate_key(2048, {"kid": secrets.token_hex(4)})

    async def _describe(self, _: Request) -> Response:
        return JSONResponse(
            {
                "issuer": self.issuer, "authorization_endpoint": f"{self.issuer}/authorize",
                "token_endpoint": f"{self.issuer}/token", "jwks_uri": f"{self.issuer}/keys",
            }
        )  # fmt: skip

    async def _authorize(self, request: Request) -> Response:
        asked = dict(request.query_params)
        self.asked.append(asked)
        assert asked["client_id"] == CLIENT
        assert asked["code_challenge_method"] == "S256"
        assert "openid" in asked["scope"].split()
        code = secrets.token_urlsafe(16)
        self._begun[code] = Begun(asked["nonce"], asked["code_challenge"], asked["redirect_uri"])
        return RedirectResponse(
            f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked['state']})}", 302
        )

    async def _token(self, request: Request) -> Response:
        form = dict(parse_qsl((await request.body()).decode()))
        begun = self._begun.pop(str(form["code"]), None)
        verifier = hashlib.sha256(str(form.get("code_verifier", "")).encode()).digest()
        challenge = base64.urlsafe_b64encode(verifier).decode().rstrip("=")
        basic = base64.b64encode(f"{CLIENT}:{SECRET.replace(' ', '+')}".encode()).decode()
        plain = base64.b64encode(f"{CLIENT}:{SECRET}".encode()).decode()
        is_client = request.headers.get("authorization") in {f"Basic {basic}", f"Basic {plain}"}
        if (
            begun is None
            or challenge != begun.challenge
            or not is_client
            or form["redirect_uri"] != begun.address
        ):
            return JSONResponse({"error": "invalid_grant"}, 400)
        now = int(time.time())
        claims = {
            "iss": self.issuer, "aud": CLIENT, "iat": now, "exp": now + 60, "nonce": begun.nonce,
            **self.claims, **self.lies,
        }  # fmt: skip
        claims = {name: value for name, value in claims.items() if value is not None}
        header = {"alg": "RS256", "kid": self.signs_with.kid, **self.header}
        token = jws.serialize_compact(header, json.dumps(claims), self.signs_with)
        return JSONResponse({"access_token": "x", "token_type": "Bearer", "id_token": token})

    async def _keys(self, _: Request) -> Response:
        return JSONResponse({"keys": [self.key.as_dict(private=False)]})
