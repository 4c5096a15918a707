"""A Flask service: AUTH_ISSUER=http://localhost:3000 flask --app flask_app run"""

from functools import wraps

import jwt
from flask import Flask, g, jsonify, request

from tokens import verify

app = Flask(__name__)


def signed_in(view):
    """Lets requests of signed-in users pass, with their claims in g.user."""

    @wraps(view)
    def guarded(*args, **kwargs):
        try:
            g.user = verify(request.headers.get("Authorization", ""))
        except (jwt.InvalidTokenError, jwt.PyJWKClientError):
            return jsonify(error="Invalid token."), 401, {"WWW-Authenticate": "Bearer"}
        return view(*args, **kwargs)

    return guarded


@app.get("/mine")
@signed_in
def mine():
    return jsonify(message=f"Hello {g.user['username']}", id=g.user["id"])
