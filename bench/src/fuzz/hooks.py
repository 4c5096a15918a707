"""How schemathesis authenticates: a new account for each request of a user, and one client for those of services."""

import json
import os
import uuid
from base64 import b64encode
from urllib.request import Request, urlopen

import schemathesis

URL = os.environ["FUZZ_URL"]
CLIENT = f"{os.environ['FUZZ_CLIENT_ID']}:{os.environ['FUZZ_CLIENT_SECRET']}"
BASIC = "Basic " + b64encode(CLIENT.encode()).decode()


def post(path, body, headers):
    with urlopen(Request(URL + path, body.encode(), headers)) as response:
        return json.load(response)


def sign_up():
    credentials = {"username": f"fuzz-{uuid.uuid4()}", "password": "open sesame 42"}
    body = post("/auth/sign-up", json.dumps(credentials), {"content-type": "application/json"})
    return f"Bearer {body['token']}"


def issue_token():
    headers = {"authorization": BASIC, "content-type": "application/x-www-form-urlencoded"}
    return f"Bearer {post('/oauth/token', 'grant_type=client_credentials', headers)['access_token']}"


AUTHORIZATIONS = {"bearer": sign_up, "client": lambda: BASIC, "service": issue_token}


@schemathesis.auth(refresh_interval=None)
class Authorization:
    def get(self, case, context):
        schemes = [name for requirement in context.operation.definition.raw["security"] for name in requirement]
        return AUTHORIZATIONS[schemes[0]]() if schemes else None

    def set(self, case, data, context):
        if data is not None:
            case.headers = {**(case.headers or {}), "Authorization": data}
