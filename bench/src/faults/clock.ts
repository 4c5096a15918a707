import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { type AuthClient, createVerifier, type SignedIn } from '@latchkey/auth-client';
import type { Server } from '../processes.js';
import { never, type Part, progress, type Row, round } from '../report.js';
import { AUDIENCE, clientOf, ISSUER, type Stage, setStage, signUp } from '../stage.js';
import { call, sleep } from './calls.js';

const PASSWORD = 'open sesame 42';
const BRIEF_TTL_S = 10;
const GRACE_S = 10;
// How long a replica may take to know that a session has ended.
const HEARD_WITHIN_MS = 2000;
const ROUNDS = 3;

type Replica = { name: string; skewS: number; url: string; client: AuthClient };

/** The clocks of some replicas are wrong by minutes; the database's decides, so that nobody notices. */
export const clock: Part = async ({ quick = false, seconds: skewS = quick ? 20 : 300 }) => {
  const title = `Replicas whose clocks are ${skewS} s ahead and ${skewS} s behind`;
  const library = await findFaketime();
  if (library === undefined) {
    return { title, rows: [{ what: 'other clocks', measured: 'libfaketime is not installed', promise: '' }] };
  }
  const blockS = Math.ceil(skewS / 2);
  const stage = await setStage({
    ACCESS_TOKEN_TTL_S: String(2 * skewS),
    THROTTLE_ENABLED: 'true',
    THROTTLE_SIGN_UPS: '1000000',
    THROTTLE_PAIR_FAILURES: '3',
    THROTTLE_PAIR_WAIT_S: String(blockS),
    REFRESH_GRACE_S: String(GRACE_S),
  });
  try {
    const start = async (name: string, skewS: number, more: Record<string, string> = {}): Promise<Replica> => {
      const fake = {
        LD_PRELOAD: library,
        FAKETIME: `${skewS < 0 ? '' : '+'}${skewS}s`,
        FAKETIME_DONT_FAKE_MONOTONIC: '1',
      };
      const server: Server = await stage.start({ ...(skewS !== 0 && fake), ...more });
      return { name, skewS, url: server.url, client: clientOf(server) };
    };
    progress('replicas start');
    const right = await start('right', 0);
    const ahead = await start('ahead', skewS);
    const behind = await start('behind', -skewS);
    // Its tokens live for moments only.
    const brief = await start('brief', 0, { ACCESS_TOKEN_TTL_S: String(BRIEF_TTL_S) });
    const replicas = [right, ahead, behind];

    const offS = await Promise.all(replicas.map(clockOf));
    const isFaked = replicas.every(({ skewS }, i) => Math.abs((offS[i] as number) - skewS) < 5);
    const afterlife = watchAfterlife(brief, behind, skewS, () => start('restarted', -skewS));
    const rows: Row[] = [
      {
        what: `clocks are 0, ${skewS} and -${skewS} s off`,
        measured: isFaked ? 'yes' : 'no',
        reference: offS.map(s => round(s)).join(', '),
        promise: 'yes',
        broken: !isFaked,
      },
      await exchangeTokens(stage, replicas),
      await followRevocations(replicas),
      await refreshEverywhere(replicas),
      await rotateKeys(stage, replicas),
      ...(await throttleEverywhere(replicas, blockS)),
    ];
    return { title, rows: [...rows, ...(await afterlife)] };
  } finally {
    await stage.stop();
  }
};

async function findFaketime(): Promise<string | undefined> {
  const folders = (await readdir('/usr/lib').catch(() => [])).flatMap(name => [`/usr/lib/${name}/faketime`]);
  return ['/usr/lib/faketime', '/usr/local/lib/faketime', ...folders]
    .map(folder => `${folder}/libfaketimeMT.so.1`)
    .find(existsSync);
}

/** How far the clock of a replica is from ours, in seconds. */
async function clockOf({ url }: Replica): Promise<number> {
  const { headers } = await fetch(`${url}/livez`);
  return (Date.parse(headers.get('date') as string) - Date.now()) / 1000;
}

const verify = ({ url }: Replica, token: string) => call(`${url}/auth/verify`, { token });

/** Everybody's tokens, everywhere. */
async function exchangeTokens(stage: Stage, replicas: Replica[]): Promise<Row> {
  const client = await stage.newClient();
  let checks = 0;
  let refused = 0;
  const check = async (accepted: Promise<boolean>) => {
    checks++;
    if (!(await accepted)) refused++;
  };
  for (const follows of replicas) {
    const verifier = createVerifier({ issuer: ISSUER, audience: AUDIENCE, baseUrl: follows.url, client });
    for (const issuer of replicas) {
      const { token } = await signUp(issuer.client);
      await check(verify(follows, token).then(({ status }) => status === 200));
      await check(call(`${follows.url}/auth/me`, { token }).then(({ status }) => status === 200));
      await check(verifier.verify(token).then(Boolean, () => false));
    }
    verifier.close();
  }
  return never('live tokens refused by another replica or a verifier', refused, `${checks} checks`);
}

/** A session that ends at one replica ends at all. */
async function followRevocations(replicas: Replica[]): Promise<Row> {
  let accepted = 0;
  let checks = 0;
  for (let round = 0; round < ROUNDS; round++) {
    for (const ends of replicas) {
      const { token } = await signUp(ends.client);
      await Promise.all(replicas.map(replica => verify(replica, token)));
      await ends.client.signOut(token);
      await sleep(HEARD_WITHIN_MS);
      for (const replica of replicas) {
        checks++;
        if ((await verify(replica, token)).status !== 401) accepted++;
      }
    }
  }
  return never('ended sessions accepted 2 s later', accepted, `${checks} checks`);
}

/** The same successor within the grace period, wherever it is asked for; an end to the session for anything older. */
async function refreshEverywhere(replicas: Replica[]): Promise<Row> {
  const refresh = ({ url }: Replica, refreshToken: string) => call(`${url}/auth/refresh`, { body: { refreshToken } });
  const pairs = replicas.flatMap(one => replicas.map(other => [one, other] as const));
  const wrong = await Promise.all(
    pairs.map(async ([one, other]) => {
      const first: SignedIn = await signUp(one.client);
      const second = await refresh(one, first.refreshToken);
      const again = await refresh(other, first.refreshToken);
      const isGraceful = again.status === 200 && again.body.refreshToken === second.body.refreshToken;
      const third = await refresh(other, second.body.refreshToken);
      const stolen = await refresh(one, first.refreshToken);
      const isTheftNoticed = stolen.status === 401 && (await refresh(other, third.body.refreshToken)).status === 401;

      const late: SignedIn = await signUp(one.client);
      await refresh(one, late.refreshToken);
      await sleep((GRACE_S + 2) * 1000);
      const isLateRefused = (await refresh(other, late.refreshToken)).status === 401;
      return isGraceful && isTheftNoticed && isLateRefused ? 0 : 1;
    }),
  );
  const sum = wrong.reduce<number>((total, value) => total + value, 0);
  return never('grace or theft judged otherwise', sum, `${pairs.length} pairs of replicas`);
}

/** A rotation, with everybody's newest token at everybody. */
async function rotateKeys(stage: Stage, replicas: Replica[]): Promise<Row> {
  const kids = new Set<string>();
  let checks = 0;
  let refused = 0;
  await stage.latchkey('keys', 'rotate', '--lead', '2');
  for (const end = performance.now() + 6000; performance.now() < end; await sleep(200)) {
    for (const issuer of replicas) {
      const { token } = await signUp(issuer.client);
      kids.add(token.slice(0, token.indexOf('.')));
      const answers = await Promise.all(replicas.map(replica => verify(replica, token)));
      checks += answers.length;
      refused += answers.filter(({ status }) => status !== 200).length;
    }
  }
  const row = never('tokens refused while keys rotate', refused, `${checks} checks, ${kids.size} keys`);
  return { ...row, broken: refused > 0 || kids.size < 2 };
}

/** A block that begins at one replica, as all of them tell it. */
async function throttleEverywhere(replicas: Replica[], blockS: number): Promise<Row[]> {
  const rows: Row[] = [];
  for (const begins of replicas) {
    const told: string[] = [];
    let broken = false;
    for (const replica of replicas) {
      // An account each: a sign-in that is let in forgets the failures.
      const { user } = await signUp(begins.client);
      const signIn = ({ url }: Replica, password: string) => {
        return call(`${url}/auth/sign-in`, { body: { username: user.username, password } });
      };
      const before = performance.now();
      for (let failures = 0; failures < 3; failures++) await signIn(begins, 'a wrong guess');
      const { status, retryAfter } = await signIn(replica, PASSWORD);
      const tookS = (performance.now() - before) / 1000;
      const waitS = Number(retryAfter);
      broken ||= status !== 429 || waitS > blockS || waitS < blockS - tookS;
      told.push(`${replica.name}: ${status === 429 ? `${retryAfter} s` : `open (${status})`}`);
    }
    rows.push({
      what: `a block of ${blockS} s that begins where the clock is ${begins.name} is as long everywhere`,
      measured: broken ? 'no' : 'yes',
      reference: told.join(', '),
      promise: 'yes',
      broken,
    });
  }
  return rows;
}

/**
 * Watches tokens of a session that has ended, and of one that has not, at a replica whose clock is behind, until they are
 * over there too; and at another that starts meanwhile.
 */
async function watchAfterlife(
  brief: Replica,
  behind: Replica,
  skewS: number,
  startAnother: () => Promise<Replica>,
): Promise<Row[]> {
  const ended = await signUp(brief.client);
  const running = await signUp(brief.client);
  await brief.client.signOut(ended.token);
  const begun = performance.now();
  const passedS = () => (performance.now() - begun) / 1000;
  await sleep(HEARD_WITHIN_MS);
  const watchers = [behind];
  let revived = 0;
  let checks = 0;
  let outlivedS = 0;
  while (passedS() < BRIEF_TTL_S + skewS + 15) {
    progress(`watching an ended session: ${Math.round(passedS())} of ${BRIEF_TTL_S + skewS + 15} s`);
    // While its tokens would still be good by the clock of that one.
    if (watchers.length === 1 && passedS() > BRIEF_TTL_S + skewS / 2) watchers.push(await startAnother());
    for (const watcher of watchers) {
      checks++;
      if ((await verify(watcher, ended.token)).status !== 401) revived++;
    }
    if ((await verify(behind, running.token)).status === 200) outlivedS = passedS() - BRIEF_TTL_S;
    await sleep(250);
  }
  return [
    never('tokens of an ended session accepted where the clock is behind', revived, `${checks} checks`),
    {
      what: 'a token outlives its expiry where the clock is behind, s',
      measured: round(Math.max(0, outlivedS)),
      promise: `≤ ${skewS}`,
    },
  ];
}
