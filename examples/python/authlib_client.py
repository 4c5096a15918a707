"""A service with credentials of its own: it reads the metadata of the issuer, gets a token with Authlib, and makes a request with it.

python authlib_client.py URL, with CLIENT_ID and CLIENT_SECRET in the environment.
"""

import os
import sys

import requests
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata

ISSUER = os.environ.get("AUTH_ISSUER", "http://localhost:3000")

document = requests.get(f"{ISSUER}/.well-known/oauth-authorization-server", timeout=5).json()
metadata = AuthorizationServerMetadata(document)
# http is for development.
for check in ("issuer", "response_types_supported", "grant_types_supported", "jwks_uri") if ISSUER.startswith("https:") else (
    "response_types_supported",
    "grant_types_supported",
):
    getattr(metadata, f"validate_{check}")()

session = OAuth2Session(os.environ["CLIENT_ID"], os.environ["CLIENT_SECRET"])
session.fetch_token(metadata["token_endpoint"], grant_type="client_credentials")
response = session.get(sys.argv[1])
print(response.status_code, response.text)
