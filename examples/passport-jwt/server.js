// An Express service that verifies access tokens with passport-jwt and jwks-rsa.
import express from 'express';
import jwksRsa from 'jwks-rsa';
import passport from 'passport';
import { ExtractJwt, Strategy } from 'passport-jwt';

const { AUTH_ISSUER = 'http://localhost:3000', AUTH_AUDIENCE = 'latchkey', PORT = '5000' } = process.env;

const readKey = jwksRsa.passportJwtSecret({
  jwksUri: `${AUTH_ISSUER}/.well-known/jwks.json`,
  cache: true,
  timeout: 5000,
});

const options = {
  jwtFromRequest: ExtractJwt.fromAuthHeaderAsBearerToken(),
  passReqToCallback: true,
  secretOrKeyProvider: (request, token, done) =>
    readKey(request, token, (error, key) => {
      // passport-jwt takes every error for a bad token. The token may be valid when the keys cannot be read.
      request.cannotReadKeys = error && error.name !== 'SigningKeyNotFoundError';
      done(error, key);
    }),
  issuer: AUTH_ISSUER,
  audience: AUTH_AUDIENCE,
  // The option that is needed: by default, any algorithm that fits the key is accepted.
  algorithms: ['ES256', 'RS256'],
  jsonWebTokenOptions: { complete: true },
};
passport.use(
  new Strategy(options, (_request, { header, payload }, done) => {
    // RFC 9068: only access tokens have this type. Those of services have no session.
    done(null, header.typ === 'at+jwt' && payload.sid ? payload : false);
  }),
);

const app = express();
const signedIn = passport.authenticate('jwt', { session: false, failWithError: true });
app.get('/mine', signedIn, (request, response) => {
  response.json({ message: `Hello ${request.user.username}`, id: request.user.id });
});
app.use((error, request, response, _next) => {
  const status = request.cannotReadKeys ? 503 : (error.status ?? 500);
  if (status === 503) response.set('retry-after', '1');
  if (status === 401) response.set('www-authenticate', 'Bearer');
  response.status(status).json({ error: status === 401 ? 'Invalid token.' : 'The request failed.' });
});
app.listen(Number(PORT), '127.0.0.1');
