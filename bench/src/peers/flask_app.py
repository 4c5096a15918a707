# The Flask app of the tutorial "JWT Authentication in Flask APIs". Changed are the database's address, the parameter of
# the statement, which must be a tuple, and `err.message`, which Python 3 does not have.
import os

import bcrypt
import jwt
import psycopg2
import psycopg2.extras
from flask import Flask, jsonify, request

app = Flask(__name__)


def get_db_connection():
    return psycopg2.connect(os.getenv("DATABASE_URL"))


@app.route("/auth/sign-in", methods=["POST"])
def sign_in():
    try:
        sign_in_form_data = request.get_json()
        connection = get_db_connection()
        cursor = connection.cursor(cursor_factory=psycopg2.extras.RealDictCursor)
        cursor.execute("SELECT * FROM users WHERE username = %s;", (sign_in_form_data["username"],))
        existing_user = cursor.fetchone()
        if existing_user is None:
            return jsonify({"err": "Invalid credentials."}), 401
        password_is_valid = bcrypt.checkpw(
            bytes(sign_in_form_data["password"], "utf-8"), bytes(existing_user["password"], "utf-8")
        )
        if not password_is_valid:
            return jsonify({"err": "Invalid credentials."}), 401
        # Construct the payload
        payload = {"username": existing_user["username"], "id": existing_user["id"]}
        # Create the token, attaching the payload
        token = jwt.encode({"payload": payload}, os.getenv("JWT_SECRET"))
        # Send the token instead of the user
        return jsonify({"token": token}), 200
    except Exception as err:
        return jsonify({"err": str(err)}), 500
    finally:
        connection.close()


# Checks the token in the way that PyJWT documents: its signature, and no database.
@app.route("/verify-token", methods=["POST"])
def verify_token():
    try:
        token = request.headers.get("Authorization").split(" ")[1]
        decoded_token = jwt.decode(token, os.getenv("JWT_SECRET"), algorithms=["HS256"])
        return jsonify({"user": decoded_token})
    except Exception as err:
        return jsonify({"err": str(err)}), 401
