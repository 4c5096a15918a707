"""Verifies access tokens with PyJWT."""

import os

import jwt

ISSUER = os.environ.get("AUTH_ISSUER", "http://localhost:3000")
AUDIENCE = os.environ.get("AUTH_AUDIENCE", "latchkey")

_keys = jwt.PyJWKClient(f"{ISSUER}/.well-known/jwks.json")


class KeysUnavailable(Exception):
    """The keys of the issuer cannot be read: respond with 503, for the token may be valid."""


def verify(authorization: str) -> dict:
    """Returns the claims of the user whose token an Authorization header has.

    Raises jwt.InvalidTokenError when it has none, or one that is not valid, and KeysUnavailable.
    """
    scheme, _, token = authorization.partition(" ")
    # RFC 9068: only access tokens have this type.
    if scheme.lower() != "bearer" or jwt.get_unverified_header(token).get("typ") != "at+jwt":
        raise jwt.InvalidTokenError("not an access token")
    return jwt.decode(
        token,
        _key_of(token),
        # PyJWT needs their names.
        algorithms=["ES256", "EdDSA", "RS256"],
        issuer=ISSUER,
        audience=AUDIENCE,
        # In seconds. Without it, a token is refused while this clock is behind the issuer's.
        leeway=10,
        # Tokens of services have no session.
        options={"require": ["exp", "iat", "sub", "sid"]},
    )


def _key_of(token: str):
    try:
        return _keys.get_signing_key_from_jwt(token).key
    except jwt.PyJWKClientError as error:
        # What urllib raises. PyJWT has an exception of its own for this since 2.7.
        if isinstance(error.__context__, OSError):
            raise KeysUnavailable("the keys cannot be read") from error
        raise jwt.InvalidTokenError("no key fits") from error
