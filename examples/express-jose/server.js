// An Express service that verifies access tokens with jose.
import express from 'express';
import { createRemoteJWKSet, errors, jwtVerify } from 'jose';

const { AUTH_ISSUER = 'http://localhost:3000', AUTH_AUDIENCE = 'latchkey', PORT = '5000' } = process.env;

const keys = createRemoteJWKSet(new URL(`${AUTH_ISSUER}/.well-known/jwks.json`));

/** Lets requests of signed-in users pass, with their claims in `request.user`. */
async function signedIn(request, response, next) {
  const [scheme, token = ''] = (request.headers.authorization ?? '').split(' ');
  try {
    if (scheme.toLowerCase() !== 'bearer') throw new errors.JWTInvalid('no bearer token');
    const { payload } = await jwtVerify(token, keys, {
      issuer: AUTH_ISSUER,
      audience: AUTH_AUDIENCE,
      // RFC 9068: only access tokens have it.
      typ: 'at+jwt',
      // Tokens of services have no session.
      requiredClaims: ['sub', 'sid'],
    });
    request.user = payload;
    next();
  } catch (error) {
    // jose throws plain errors of its own for a response that is none of keys.
    const isOfKeys =
      error.constructor === errors.JOSEError ||
      error instanceof errors.JWKSTimeout ||
      error instanceof errors.JWKSInvalid;
    if (isOfKeys || !(error instanceof errors.JOSEError)) {
      return response.set('retry-after', '1').status(503).json({ error: 'The keys cannot be read.' });
    }
    response.set('www-authenticate', 'Bearer').status(401).json({ error: error.message });
  }
}

const app = express();
app.get('/mine', signedIn, (request, response) => {
  response.json({ message: `Hello ${request.user.username}`, id: request.user.id });
});
app.listen(Number(PORT), '127.0.0.1');
