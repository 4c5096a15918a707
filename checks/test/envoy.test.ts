import { createAuthClient } from '@latchkey/auth-client';
import t from 'tap';
import { envoy, startEnvoy } from './gateways/envoy.js';
import { readConfiguration } from './gateways/gateway.js';
import { startRecorder } from './gateways/raw.js';
import { tellStories } from './gateways/stories.js';
import { call, latchkey, startSystem } from './services.js';

tellStories(t, envoy);

t.test('Envoy verifies tokens itself', { skip: envoy.skip }, async t => {
  const { authUrl, auth, authEnv, signUp } = await startSystem(t);
  const notes = await startRecorder(t, () => ({ status: 200, body: '{}' }));
  const filter = readConfiguration('envoy/jwt-authn.yaml').replace('http://localhost:8080', authUrl);
  const indented = filter.replaceAll(/^/gm, ' '.repeat(18)).trimEnd();
  const asking = / +- name: envoy\.filters\.http\.ext_authz\n.*?(?= +- name: envoy\.filters\.http\.router)/s;
  const configuration = readConfiguration('envoy/envoy.yaml').replace(asking, `${indented}\n`);
  t.match(configuration, indented);
  const base = await startEnvoy(t, { auth: [authUrl], notes: [notes.url] }, configuration);
  const { token, user } = await signUp();

  const forged = { 'x-auth-user-id': 'root', 'x-auth-username': 'root', 'x-auth-session-id': 'root' };
  t.equal((await call(`${base}/notes`, token, { headers: forged })).status, 200);
  t.equal(notes.seen[0]?.headers['x-auth-user-id'], user.id);
  t.equal(notes.seen[0]?.headers['x-auth-username'], user.username);
  t.equal(notes.seen[0]?.headers['x-auth-acr'], 'aal1');
  t.equal(notes.seen[0]?.headers.authorization, `Bearer ${token}`, 'for the guard of the service');

  const [head, claims, signature] = token.split('.') as [string, string, string];
  const none = Buffer.from('{"alg":"none","typ":"at+jwt"}').toString('base64url');
  for (const wrong of [undefined, 'a.b.c', `${none}.${claims}.`, `${head}.${claims}.${signature.slice(4)}AAAA`]) {
    const refused = await call(`${base}/notes`, wrong, { headers: forged });
    t.equal(refused.status, 401);
    t.match(refused.headers.get('www-authenticate'), /^Bearer/);
  }
  t.equal((await call(`${base}/notes?access_token=${token}`)).status, 401, 'a token in the query is none');
  t.equal(notes.seen.length, 1);
  t.same((await call(`${base}/auth/me`, token)).body, user, 'what is auth-service’s, it judges itself');

  const { clientSecret: secret } = JSON.parse((await latchkey(authEnv, 'clients create billing --json')).stdout);
  const service = await createAuthClient({ baseUrl: authUrl }).serviceToken({ id: 'billing', secret });
  await call(`${base}/notes`, service.access_token, { headers: forged });
  t.equal(notes.seen[1]?.headers['x-auth-user-id'], undefined, 'a service is no user');

  auth.kill('SIGKILL');
  t.equal((await call(`${base}/notes`, token)).status, 200, 'the keys that it has go on working');
});
