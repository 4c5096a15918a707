import { type Answer, type CallOptions, call, describe, isUnavailable, sleep } from '../calls.js';
import { PASSWORD, type SignUps, startSignUps } from '../sign-ups.js';

/** What came of the calls of one kind. */
export type Tally = {
  /** How long each took, in ms. */
  times: number[];
  /** How many were told to try again, in the way that is promised. */
  unavailable: number;
  /** Answers that must not be, a line each. */
  wrong: string[];
};

/** People who sign up, stay signed in and are checked, until it ends. */
export type Load = {
  signUps: SignUps;
  tallies: Record<Kind, Tally>;
  /** The refresh token that each of those who stay signed in was given last. */
  refreshTokens(): string[];
  /** Sessions that ended under their owner's hands, a line each. */
  signedOut: string[];
  end(): Promise<void>;
};

const NEED_DATABASE = ['sign-up', 'sign-in', 'refresh', 'readyz'] as const;
const NEED_NOTHING = ['verify', 'livez'] as const;
export type Kind = (typeof NEED_DATABASE)[number] | (typeof NEED_NOTHING)[number];

const SIGN_UPS = 8;
const SESSIONS = 8;
const PAUSE_MS = 100;
const CHECK_EVERY_MS = 20;

/** Puts load on all replicas. A refused request is repeated soon, at another replica. */
export async function startLoad(urls: string[]): Promise<Load> {
  const began = performance.now();
  const passed = () => `after ${seconds(performance.now() - began)}`;
  const tallies = Object.fromEntries(
    [...NEED_DATABASE, ...NEED_NOTHING].map(kind => [kind, { times: [], unavailable: 0, wrong: [] }]),
  ) as unknown as Record<Kind, Tally>;
  const ask = async (kind: Kind, url: string, options: CallOptions, expected: number[]): Promise<Answer> => {
    const answer = await call(url, options);
    const tally = tallies[kind];
    tally.times.push(answer.ms);
    if (expected.includes(answer.status)) return answer;
    if (isUnavailable(answer) && NEED_DATABASE.some(name => name === kind)) tally.unavailable++;
    else tally.wrong.push(`${passed()}, ${kind}: ${describe(answer)}`);
    return answer;
  };

  const signUps = startSignUps(urls, SIGN_UPS, (url, options = {}) => ask('sign-up', url, options, [201, 409, 422]));
  await signUps.nextAcknowledged();
  const credentials = { username: signUps.acknowledged[0]?.username, password: PASSWORD };
  const urlOf = (turn: number) => urls[turn % urls.length] as string;
  const signIn = (url: string) => ask('sign-in', `${url}/auth/sign-in`, { body: credentials }, [200]);

  let ending = false;
  const refreshTokens: (string | undefined)[] = [];
  const signedOut: string[] = [];
  const staySignedIn = async (index: number) => {
    let tryingSince: number | undefined;
    for (let turn = index; !ending; turn++) {
      const refreshToken = refreshTokens[index];
      const answer = await (refreshToken === undefined
        ? signIn(urlOf(turn))
        : ask('refresh', `${urlOf(turn)}/auth/refresh`, { body: { refreshToken } }, [200, 401]));
      if (answer.status === 401) {
        const trying = tryingSince === undefined ? 0 : performance.now() - tryingSince;
        signedOut.push(`${passed()}, refresh: 401, ${seconds(trying)} after the first try with the same token`);
      }
      const isTold = answer.status === 200 || answer.status === 401;
      if (isTold) refreshTokens[index] = answer.body.refreshToken;
      tryingSince = isTold ? undefined : (tryingSince ?? performance.now());
      await sleep(PAUSE_MS);
    }
  };
  const repeat = async (everyMs: number, check: () => Promise<unknown>) => {
    while (!ending) {
      await check();
      await sleep(everyMs);
    }
  };
  const watch = async (url: string) => {
    const { token } = (await signIn(url)).body;
    await Promise.all([
      repeat(CHECK_EVERY_MS, () => ask('verify', `${url}/auth/verify`, { token }, [200])),
      repeat(PAUSE_MS, () => ask('livez', `${url}/livez`, {}, [200])),
      repeat(PAUSE_MS, () => ask('readyz', `${url}/readyz`, {}, [200])),
    ]);
  };
  const working = Promise.all([
    ...Array.from({ length: SESSIONS }, (_, index) => staySignedIn(index)),
    ...urls.map(watch),
  ]);

  return {
    signUps,
    tallies,
    signedOut,
    refreshTokens: () => refreshTokens.filter(token => token !== undefined),
    async end() {
      ending = true;
      await Promise.all([working, signUps.end()]);
    },
  };
}

const seconds = (ms: number) => `${(ms / 1000).toFixed(1)} s`;
