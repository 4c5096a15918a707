import type { Server } from '../processes.js';
import { type Part, progress, type Row } from '../report.js';
import { clientOf, setStage } from '../stage.js';
import { codeOf } from '../totp.js';

const REPLICAS = 3;
const USES = 100;
const CHALLENGES = 4;
const DEFAULT_COUNT = 1000;
const PASSWORD = 'open sesame 42';

/** What the responses of these requests may have. */
type Body = { code?: string; challenge?: string; secret?: string; recoveryCodes?: string[] };
type Winners = Record<'app' | 'recovery', number[]>;

/** Uses of one code that race, over several replicas and several sign-ins: of an authenticator app, and a recovery code. */
export const codes: Part = async ({ count = DEFAULT_COUNT }) => {
  const stage = await setStage({ LOG_LEVEL: 'fatal' });
  try {
    const servers = await Promise.all(Array.from({ length: REPLICAS }, () => stage.start()));
    const [first] = servers as [Server];
    const client = clientOf(first);
    const urls = servers.map(({ url }) => url);
    const winners: Winners = { app: [], recovery: [] };
    for (let round = 0; round < count; round++) {
      const credentials = { username: `codes-${round}`, password: PASSWORD };
      const { token } = await client.signUp(credentials);
      const { secret, recoveryCodes } = await addApp(first.url, token);
      const challenges = await Promise.all(
        Array.from({ length: CHALLENGES }, () => challengeOf(first.url, credentials)),
      );
      winners.app.push(await winnersOf(urls, challenges, { totp: codeOf(secret) }));
      const more = await Promise.all(Array.from({ length: CHALLENGES }, () => challengeOf(first.url, credentials)));
      winners.recovery.push(await winnersOf(urls, more, { recoveryCode: recoveryCodes[0] }));
      progress(`codes: ${round + 1} of ${count}`);
    }
    progress('');
    const rows = Object.entries(winners).map(([what, counts]): Row => {
      const wrong = counts.filter(winning => winning !== 1).length;
      return {
        what: `codes of ${what === 'app' ? 'an authenticator app' : 'recovery'} that did not start just one session`,
        measured: wrong,
        reference: `${count} rounds, ${USES} uses at once each`,
        promise: '0',
        broken: wrong > 0,
      };
    });
    return { title: `Codes on ${REPLICAS} replicas`, rows };
  } finally {
    await stage.stop();
  }
};

async function send(url: string, body: object, token?: string): Promise<{ status: number; body: Body }> {
  const authorization = token === undefined ? {} : { authorization: `Bearer ${token}` };
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...authorization },
    body: JSON.stringify(body),
  });
  return { status: response.status, body: (await response.json()) as Body };
}

/** Adds an authenticator app, confirmed by the code before the present one, which is then unused. */
async function addApp(url: string, token: string): Promise<{ secret: string; recoveryCodes: string[] }> {
  const { secret = '' } = (await send(`${url}/auth/totp`, {}, token)).body;
  const confirm = () => send(`${url}/auth/totp/confirm`, { totp: codeOf(secret, -1) }, token);
  let { status, body } = await confirm();
  // A step may have ended on the way.
  if (status === 401) ({ status, body } = await confirm());
  if (status !== 200) throw new Error(`the authenticator app was not confirmed: ${JSON.stringify(body)}`);
  return { secret, recoveryCodes: body.recoveryCodes ?? [] };
}

async function challengeOf(url: string, credentials: object): Promise<string> {
  const { body } = await send(`${url}/auth/sign-in`, credentials);
  if (body.challenge === undefined) throw new Error(`no second factor is due: ${JSON.stringify(body)}`);
  return body.challenge;
}

/** How many of the uses start a session. */
async function winnersOf(urls: string[], challenges: string[], proof: object): Promise<number> {
  const uses = Array.from({ length: USES }, (_, i) =>
    send(`${urls[i % urls.length]}/auth/sign-in/second-factor`, {
      challenge: challenges[i % challenges.length],
      ...proof,
    }),
  );
  return (await Promise.all(uses)).filter(({ status }) => status === 200).length;
}
