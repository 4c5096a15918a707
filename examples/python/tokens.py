"""Verifies access tokens with PyJWT."""

import http.client
import json
import os
import time
from urllib.request import urlopen

import jwt

ISSUER = os.environ.get("AUTH_ISSUER", "http://localhost:3000")
AUDIENCE = os.environ.get("AUTH_AUDIENCE", "latchkey")


class KeysUnavailable(Exception):
    """The keys of the issuer cannot be read: respond with 503, for the token may be valid."""


class _Keys(jwt.PyJWKClient):
    """Reads the keys again after 5 minutes, and for an unknown one; keeps the last ones while they cannot be read."""

    _last = None
    _asked = float("-inf")

    def fetch_data(self):
        # At most every 10 seconds: anyone can make up the name of a key.
        if self._last is None or time.monotonic() - self._asked > 10:
            self._asked = time.monotonic()
            try:
                with urlopen(self.uri, timeout=5) as response:
                    found = json.load(response)
                if not found["keys"]:
                    raise ValueError("there are no keys")
                self._last = found
            except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError) as error:
                if self._last is None:
                    raise KeysUnavailable("the keys cannot be read") from error
        self.jwk_set_cache.put(self._last)
        return self._last


_keys = _Keys(f"{ISSUER}/.well-known/jwks.json")


def verify(authorization: str) -> dict:
    """Returns the claims of the user whose token an Authorization header has.

    Raises jwt.InvalidTokenError when it has none, or one that is not valid, and KeysUnavailable.
    """
    scheme, _, token = authorization.partition(" ")
    try:
        # RFC 9068: only access tokens have this type.
        if scheme.lower() != "bearer" or jwt.get_unverified_header(token).get("typ") != "at+jwt":
            raise jwt.InvalidTokenError("not an access token")
        return jwt.decode(
            token,
            _keys.get_signing_key_from_jwt(token).key,
            # PyJWT needs their names.
            algorithms=["ES256", "EdDSA", "RS256"],
            issuer=ISSUER,
            audience=AUDIENCE,
            # In seconds. Without it, a token is refused while this clock is behind the issuer's.
            leeway=10,
            # Tokens of services have no session.
            options={"require": ["exp", "iat", "sub", "sid", "id", "username"]},
        )
    except jwt.InvalidTokenError:
        raise
    # Such as of a key that is not for the algorithm that the header names.
    except (jwt.PyJWTError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise jwt.InvalidTokenError("not a token of the issuer") from error
