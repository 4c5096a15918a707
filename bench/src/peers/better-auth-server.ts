// Better Auth as its documentation sets it up on Node and PostgreSQL, with bcrypt for passwords and without rate limits.
import { createServer } from 'node:http';
import bcrypt from 'bcrypt';
import { betterAuth } from 'better-auth';
import { getMigrations } from 'better-auth/db/migration';
import { toNodeHandler } from 'better-auth/node';
import pg from 'pg';

const env = process.env;
const cost = Number(env['BCRYPT_COST']);
const auth = betterAuth({
  baseURL: `http://127.0.0.1:${env['PORT']}`,
  secret: env['SECRET'] as string,
  database: new pg.Pool({ connectionString: env['DATABASE_URL'] }),
  emailAndPassword: {
    enabled: true,
    password: {
      hash: password => bcrypt.hash(password, cost),
      verify: ({ hash, password }) => bcrypt.compare(password, hash),
    },
  },
  session: { cookieCache: { enabled: env['COOKIE_CACHE'] === 'true' } },
  rateLimit: { enabled: false },
  telemetry: { enabled: false },
});
const { runMigrations } = await getMigrations(auth.options);
await runMigrations();
const server = createServer(toNodeHandler(auth));
server.listen(Number(env['PORT']), '127.0.0.1', () => process.send?.('ready'));
process.once('SIGTERM', () => process.exit());
