"""A Flask service: AUTH_ISSUER=http://localhost:3000 flask --app flask_app run"""

from functools import wraps

import jwt
from flask import Flask, g, jsonify, request

from tokens import KeysUnavailable, verify

app = Flask(__name__)


def signed_in(view):
    """Lets requests of signed-in users pass, with their claims in g.user."""

    @wraps(view)
    def guarded(*args, **kwargs):
        try:
            g.user = verify(request.headers.get("Authorization", ""))
        except jwt.InvalidTokenError as error:
            app.logger.warning("refused a token: %s", error)
            return jsonify(error="Invalid token."), 401, {"WWW-Authenticate": "Bearer"}
        except KeysUnavailable:
            app.logger.exception("cannot verify tokens")
            return jsonify(error="Try again shortly."), 503, {"Retry-After": "1"}
        return view(*args, **kwargs)

    return guarded


@app.get("/mine")
@signed_in
def mine():
    return jsonify(message=f"Hello {g.user['username']}", id=g.user["id"])
