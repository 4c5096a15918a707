"""A FastAPI service: AUTH_ISSUER=http://localhost:3000 uvicorn fastapi_app:app"""

import jwt
from fastapi import Depends, FastAPI, Header, HTTPException

from tokens import verify

app = FastAPI()


# Not async: FastAPI runs it in a thread, because the keys may have to be fetched.
def signed_in(authorization: str = Header("")) -> dict:
    """The claims of the user who makes the request."""
    try:
        return verify(authorization)
    except (jwt.InvalidTokenError, jwt.PyJWKClientError) as error:
        raise HTTPException(401, "Invalid token.", {"WWW-Authenticate": "Bearer"}) from error


@app.get("/mine")
def mine(user: dict = Depends(signed_in)):
    return {"message": f"Hello {user['username']}", "id": user["id"]}
