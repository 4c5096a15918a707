"""A FastAPI service: AUTH_ISSUER=http://localhost:3000 uvicorn fastapi_app:app"""

import logging

import jwt
from fastapi import Depends, FastAPI, Header, HTTPException

from tokens import KeysUnavailable, verify

app = FastAPI()
logger = logging.getLogger("uvicorn.error")


# Not async: FastAPI runs it in a thread, because the keys may have to be fetched.
def signed_in(authorization: str = Header("")) -> dict:
    """The claims of the user who makes the request."""
    try:
        return verify(authorization)
    except jwt.InvalidTokenError as error:
        logger.warning("refused a token: %s", error)
        raise HTTPException(401, "Invalid token.", {"WWW-Authenticate": "Bearer"}) from error
    except KeysUnavailable as error:
        logger.exception("cannot verify tokens")
        raise HTTPException(503, "Try again shortly.", {"Retry-After": "1"}) from error


@app.get("/mine")
def mine(user: dict = Depends(signed_in)):
    return {"message": f"Hello {user['username']}", "id": user["id"]}
