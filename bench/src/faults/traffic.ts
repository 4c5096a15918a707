import { randomUUID } from 'node:crypto';
import { type Answer, call, describe, sleep } from './calls.js';

/** The calls that need the database, and those that must not. */
export const DATABASE_CALLS = ['sign-up', 'sign-in', 'refresh', 'me'] as const;
export const FREE_CALLS = ['verify', 'jwks', 'livez'] as const;
export type DatabaseCall = (typeof DATABASE_CALLS)[number];
export type CallName = DatabaseCall | (typeof FREE_CALLS)[number] | 'readyz';

export type Sample = { name: CallName; answer: Answer };

/** Somebody who makes every kind of call. */
export type Person = Record<CallName, () => Promise<Answer>>;

const PASSWORD = 'open sesame 42';
const VERIFY_EVERY_MS = 20;
const OTHERS_EVERY_MS = 100;

/** That a refresh was refused: the answer, and since when, in seconds, that session had not got an answer to any refresh. */
export type SignOut = { answer: Answer; unansweredForS: number };

type Session = { token: string; refreshToken: string; isOver: boolean; unansweredSince?: number | undefined };

/** Signs somebody up. Who is signed out signs up anew, and that is told. */
export async function makePerson(url: string, onSignOut: (signOut: SignOut) => void): Promise<Person> {
  const username = `user-${randomUUID()}`;
  const signUp = (name: string) => call(`${url}/auth/sign-up`, { body: { username: name, password: PASSWORD } });
  const begin = ({ body: { token, refreshToken } }: Answer): Session => ({ token, refreshToken, isOver: false });
  const first = await signUp(username);
  if (first.status !== 201) throw new Error(`no sign-up: ${describe(first)}`);
  let session = begin(first);
  let refreshing: Promise<Answer> | undefined;

  const signUpAnew = async () => {
    const answer = await signUp(`user-${randomUUID()}`);
    if (answer.status === 201) session = begin(answer);
    return answer;
  };
  const refresh = async () => {
    const used = session;
    if (used.isOver) return signUpAnew();
    const begun = performance.now();
    const answer = await call(`${url}/auth/refresh`, { body: { refreshToken: used.refreshToken } });
    if (answer.status === 200) {
      const { token, refreshToken } = answer.body as Session;
      // Answers may overtake each other.
      if (generation(refreshToken) > generation(used.refreshToken)) Object.assign(used, { token, refreshToken });
      used.unansweredSince = undefined;
      return answer;
    }
    used.unansweredSince ??= begun;
    if (answer.status !== 401 || used.isOver) return answer;
    used.isOver = true;
    onSignOut({ answer, unansweredForS: (performance.now() - used.unansweredSince) / 1000 });
    return signUpAnew();
  };
  /** Asks with the session's token, and again if a refresh has meanwhile been told that the session is over. */
  const withToken = async (path: string) => {
    for (;;) {
      const used = session;
      const answer = await call(`${url}${path}`, { token: used.token });
      if (answer.status !== 401) return answer;
      const renewed = await refreshing;
      if (used === session) return used.isOver && renewed ? renewed : answer;
    }
  };
  return {
    'sign-up': () => signUp(`user-${randomUUID()}`),
    'sign-in': () => call(`${url}/auth/sign-in`, { body: { username, password: PASSWORD } }),
    refresh() {
      refreshing = refresh();
      return refreshing;
    },
    me: () => withToken('/auth/me'),
    verify: () => withToken('/auth/verify'),
    jwks: () => call(`${url}/.well-known/jwks.json`),
    livez: () => call(`${url}/livez`),
    readyz: () => call(`${url}/readyz`),
  };
}

/** How many refreshes there were before this token: it is `account.session.generation.MAC`. */
const generation = (refreshToken: string) => Number(refreshToken.split('.').at(-2));

/** Calls of all kinds, those without the database at a fixed rate; every answer is handed over. */
export async function startTraffic(people: Person[], record: (sample: Sample) => void): Promise<() => Promise<void>> {
  let ending = false;
  const [first] = people as [Person];
  const inFlight = new Set<Promise<void>>();
  const make = async (name: CallName, person: Person) => record({ name, answer: await person[name]() });
  const atRate = (name: CallName, everyMs: number) => {
    return setInterval(() => {
      const made = make(name, first).finally(() => inFlight.delete(made));
      inFlight.add(made);
    }, everyMs);
  };
  const timers = [atRate('verify', VERIFY_EVERY_MS), atRate('jwks', OTHERS_EVERY_MS), atRate('livez', OTHERS_EVERY_MS)];
  const oneByOne = async (name: CallName, person: Person) => {
    for (; !ending; await sleep(OTHERS_EVERY_MS)) await make(name, person);
  };
  const workers = [
    oneByOne('readyz', first),
    ...people.flatMap(person => DATABASE_CALLS.map(name => oneByOne(name, person))),
  ];
  return async () => {
    ending = true;
    for (const timer of timers) clearInterval(timer);
    await Promise.all([...workers, ...inFlight]);
  };
}
