"""Did this request come through the gateway, for just this method, host, path and query, just now?

Python 3.11 or later with PyJWT and cryptography (`pip install 'pyjwt[crypto]'`). Put `Verifier.check` before everything else that a
service does; see server.py.
"""

import base64
import hashlib
import http.client
import json
import re
import threading
import time
import urllib.request

import jwt

TYPE = "portcullis-assertion+jwt"
MOST = 8192  # characters of an assertion
LONGEST = 300  # seconds from `iat` to `exp`
OLDEST = 86400  # seconds for which keys are believed while the gateway cannot be asked


class Refused(Exception):
    """Why a request is refused. It is for the log; a client needs to know no more than 401."""


class Keys:
    """The gateway's public keys, from its JWKS endpoint. `max_age`: for how many seconds old keys hold while the gateway cannot be asked. A key
    that was taken out is believed for so long."""

    def __init__(self, url, max_age=OLDEST):
        if not max_age > 0:
            raise ValueError("max_age: more than 0 seconds")
        self._url, self._oldest = url, max_age
        self._keys = {}
        self._until = self._asked = self._read = float("-inf")
        self._lock = threading.Lock()

    def find(self, kid):
        """The key of that name. One that is not known is asked for, at most once a second; meanwhile who has a key goes on with it."""
        key = self._known(kid)
        if key is not None and time.monotonic() < self._until:
            return key
        if self._lock.acquire(blocking=key is None):
            try:
                fresh = kid in self._keys and time.monotonic() < self._until
                if not fresh and time.monotonic() - self._asked >= 1:
                    self._ask()
            finally:
                self._lock.release()
        return self._known(kid)

    def _known(self, kid):
        return self._keys.get(kid) if time.monotonic() - self._read < self._oldest else None

    def _ask(self):
        try:
            self._fetch(time.monotonic())
        except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError, jwt.PyJWTError):
            pass  # The old keys hold for a while.
        finally:
            self._asked = time.monotonic()

    def _fetch(self, now):
        with urllib.request.urlopen(self._url, timeout=2) as response:
            keys = json.load(response)["keys"]
            age = re.search(r"max-age=(\d+)", response.headers.get("cache-control", ""))
        self._keys = {jwk["kid"]: jwt.PyJWK.from_dict(jwk) for jwk in keys}
        self._read = now
        self._until = now + (int(age[1]) if age else 60)


class Verifier:
    """`skew`: how many seconds the gateway's clock may differ from ours."""

    def __init__(self, keys, issuer, audience, skew=10):
        self.keys, self.issuer, self.audience, self.skew = keys, issuer, audience, skew

    def check(self, assertions, method, host, target):
        """The claims of the one assertion in `assertions`, which are all values of the header. `target` is the path and the query as they
        came on the wire: a path that a framework has decoded is another one."""
        if len(assertions) != 1 or len(assertions[0]) > MOST:
            raise Refused("no assertion, or more than one")
        try:
            header = jwt.get_unverified_header(assertions[0])
            if header.get("typ") != TYPE or "crit" in header:
                raise Refused("another kind of token")
            # The key says which algorithm it is for; the token only says which key.
            key = self.keys.find(header.get("kid"))
            if key is None or key.algorithm_name not in ("EdDSA", "ES256"):
                raise Refused("unknown key")
            claims = jwt.decode(
                assertions[0],
                key.key,
                algorithms=[key.algorithm_name],
                issuer=self.issuer,
                audience=self.audience,
                leeway=self.skew,
                options={"require": ["iss", "aud", "iat", "exp"], "strict_aud": True},
            )
        except jwt.PyJWTError as error:
            raise Refused(str(error)) from error
        if claims["exp"] - claims["iat"] > LONGEST:
            raise Refused("too long a time")
        if not _bound(claims, method, host, target):
            raise Refused("for another request")
        return claims


def _bound(claims, method, host, target):
    path, _, query = target.partition("?")
    if "query_hash" in claims:
        digest = hashlib.sha256(query.encode("latin-1")).digest()
        same_query = "query" not in claims and claims["query_hash"] == _base64url(digest)
    else:
        same_query = claims.get("query") == query
    same = (claims.get("htm"), claims.get("authority"), claims.get("path")) == (method, host.lower(), path)
    return same and same_query


def _base64url(digest):
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
