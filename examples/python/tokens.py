"""Verifies access tokens with PyJWT."""

import os

import jwt

ISSUER = os.environ.get("AUTH_ISSUER", "http://localhost:3000")
AUDIENCE = os.environ.get("AUTH_AUDIENCE", "latchkey")

_keys = jwt.PyJWKClient(f"{ISSUER}/.well-known/jwks.json")


def verify(authorization: str) -> dict:
    """Returns the claims of the user whose token an Authorization header has.

    Raises jwt.InvalidTokenError when it has none, or one that is not valid, and jwt.PyJWKClientError when no key fits or the keys
    cannot be read.
    """
    scheme, _, token = authorization.partition(" ")
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
        # Tokens of services have no session.
        options={"require": ["exp", "iat", "sub", "sid"]},
    )
