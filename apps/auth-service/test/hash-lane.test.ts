import { readdirSync, readFileSync } from 'node:fs';
import bcrypt from 'bcrypt';
import t, { type Test } from 'tap';
import { createHashLane, type HashCaller, type HashLaneOptions } from '#src/credentials/password/hash-lane.js';
import { takeTurns } from '#src/credentials/password/turns.js';
import { get, newCredentials, post, startService, until } from './helper.js';

const caller = (address: string | undefined, account: string | undefined, gone = new AbortController().signal) => {
  return { address, account, gone };
};
const anybody = caller('198.51.100.1', 'anybody');
const hash = (cost: number) => ({ kind: 'hash', input: 'open sesame', cost }) as const;

t.test('hashes and compares', async t => {
  const lane = createHashLane({ workers: 2, maxWaitMs: 10_000 });
  t.teardown(() => lane.close());
  const stored = (await lane.run(hash(4), 4, anybody)) as string;
  t.ok(bcrypt.compareSync('open sesame', stored));
  const compare = (input: string) => {
    const task = { kind: 'compare', input, stored, paddings: [bcrypt.genSaltSync(4)] } as const;
    return lane.run(task, 5, anybody);
  };
  t.same(await Promise.all([compare('open sesame'), compare('something else')]), [true, false]);
  t.match(lane.state(), { waiting: 0, running: 0, predictedWaitMs: 0 });
});

t.test('refuses at once a caller that would wait too long, and takes others as they come', async t => {
  const lane = createHashLane({ workers: 1, maxWaitMs: 500 });
  t.teardown(() => lane.close());
  const order: number[] = [];
  // The first guess is 250 ms each: two may wait for one that runs.
  const jobs = [1, 2, 3].map(n => lane.run(hash(12), 12, anybody).then(() => order.push(n)));
  t.match(lane.state(), { waiting: 2, running: 1 });
  const before = performance.now();
  const refused = await lane.run(hash(12), 12, anybody).catch(error => error);
  t.ok(performance.now() - before < 100, 'it does not wait');
  t.match(refused, { statusCode: 503, headers: { 'retry-after': /^[1-4]$/ } });
  await Promise.all(jobs);
  t.same(order, [1, 2, 3]);
  await t.resolves(lane.run(hash(4), 4, anybody), 'and goes on');
});

t.test('who has gone waits no more', async t => {
  const lane = createHashLane({ workers: 1, maxWaitMs: 10_000 });
  t.teardown(() => lane.close());
  const hangUp = new AbortController();
  const hasty = { ...anybody, gone: hangUp.signal };
  const running = lane.run(hash(10), 10, hasty);
  const waiting = lane.run(hash(10), 10, hasty);
  const patient = lane.run(hash(4), 4, anybody);
  hangUp.abort();
  t.match(lane.state(), { waiting: 1, running: 1 });
  await t.rejects(waiting, { message: 'The caller has gone.' });
  await t.rejects(lane.run(hash(4), 4, hasty), { message: 'The caller has gone.' });
  await t.resolves(running, 'what has begun is finished');
  await t.resolves(patient);
});

t.test('a thread that dies is replaced, and its caller told to come back', async t => {
  const dir = t.testdir({
    'worker.mjs': `export default task => (task.cost === 13 ? process.exit(1) : { value: 'done', tookMs: 1 });`,
  });
  const lane = createHashLane({ workers: 1, maxWaitMs: 10_000, worker: `${dir}/worker.mjs` });
  t.teardown(() => lane.close());
  t.equal(await lane.run(hash(4), 4, anybody), 'done');
  await t.rejects(lane.run(hash(13), 13, anybody), { code: 'SERVICE_UNAVAILABLE' });
  t.equal(await lane.run(hash(4), 4, anybody), 'done');
});

// Says that it took as long as the lane expects at first, on whatever machine.
const TIMED = `export default ({ input, cost }) => {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10);
  return { value: input, tookMs: 250 * 2 ** (cost - 12) };
}`;
const startTimedLane = (t: Test, options: Partial<HashLaneOptions> = {}) => {
  const dir = t.testdir({ 'worker.mjs': TIMED });
  const lane = createHashLane({ workers: 1, maxWaitMs: 500, worker: `${dir}/worker.mjs`, ...options });
  t.teardown(() => lane.close());
  const done: string[] = [];
  const run = async (name: string, caller: HashCaller, cost = 12) => {
    const result = await lane.run({ kind: 'hash', input: name, cost }, cost, caller).catch(error => error.code);
    if (result === name) done.push(name);
    return result;
  };
  return { lane, run, done };
};
const REFUSED = 'HASH_LANE_FULL';

t.test('an account and an address take turns with the others', async t => {
  const order = (running: string[], waiting: string[]) => {
    const jobs = (names: string[]) => names.map(name => ({ name, address: name[0], account: name[1] }));
    return takeTurns(jobs(running), jobs(waiting))
      .order.map(({ name }) => name)
      .join(' ');
  };
  t.equal(order([], ['1a', '2b', '3c']), '1a 2b 3c', 'as they came');
  t.equal(order([], ['1a', '1a', '1a', '2b', '2b', '3c']), '1a 2b 3c 1a 2b 1a', 'in turns');
  t.equal(order(['1a', '1a'], ['1a', '1a', '2b']), '2b 1a 1a', 'what runs counts');
  t.equal(order([], ['1a', '1a', '1a', '1b']), '1a 1b 1a 1a', 'an account behind the same address as another');
  t.equal(order(['1a'], ['2a', '3a', '4b']), '4b 2a 3a', 'an account from many addresses');
  t.equal(order(['1a'], ['1b', '1c', '2d']), '2d 1b 1c', 'an address with many accounts');
  const unknown = { address: undefined, account: undefined };
  const known = { address: '1', account: 'a' };
  t.same(takeTurns([], [unknown, unknown, known]).order, [unknown, known, unknown], 'those without either are one');
});

t.test('a lane that one caller fills has room for others, of whom those behind are told', async t => {
  for (const [what, honest] of [
    ['another address', caller('198.51.100.2', 'honest')],
    ['the same address', caller('198.51.100.1', 'honest')],
    ['no address', caller(undefined, 'honest')],
  ] as const) {
    const { lane, run, done } = startTimedLane(t);
    const hog = caller('198.51.100.1', 'hog');
    const hogging = ['hog 1', 'hog 2', 'hog 3'].map(name => run(name, hog));
    t.type(lane.refusal(hog), 'number', what);
    t.equal(await run('hog 4', hog), REFUSED);
    t.equal(lane.refusal(honest), undefined);
    t.equal(lane.refusal({ ...honest, account: undefined }), undefined, 'also while only the address is known');
    t.equal(await run('honest', honest), 'honest');
    t.same(await Promise.all(hogging), ['hog 1', 'hog 2', REFUSED], 'the queue is not longer for that');
    t.same(done, ['hog 1', 'honest', 'hog 2']);
  }
});

t.test('one address may have the whole lane while nobody else wants it', async t => {
  const { lane, run } = startTimedLane(t, { maxWaitMs: 1000 });
  const jobs = Array.from({ length: 8 }, (_, i) => run(`${i}`, caller('198.51.100.1', `account-${i}`)));
  t.match(lane.state(), { waiting: 4, running: 1 });
  const results = await Promise.all(jobs);
  t.equal(results.filter(result => result !== REFUSED).length, 5);
});

t.test('a flood from an address that is in a full lane is refused before its bodies are read', async t => {
  const { lane, run } = startTimedLane(t);
  const hog = caller('198.51.100.1', 'hog');
  const hogging = ['hog 1', 'hog 2', 'hog 3'].map(name => run(name, hog));
  const admitted = (address: string) =>
    Array.from({ length: 1000 }, () => lane.refusal({ address, account: undefined })).filter(afterS => !afterS).length;
  t.equal(admitted('198.51.100.1'), 100, 'but for some, of which each may be another account');
  t.equal(admitted('198.51.100.2'), 1000, 'and those of nobody else');
  await Promise.all(hogging);
  t.equal(admitted('198.51.100.1'), 1000, 'once there is room');
});

t.test('a job that newcomers pass again and again is refused, not left to wait', async t => {
  const { lane, run } = startTimedLane(t);
  const hog = caller('198.51.100.1', 'hog');
  const first = run('first', hog);
  let ended = false;
  const passed = run('passed', hog).finally(() => {
    ended = true;
  });
  let newcomers = 0;
  const arrive = async (): Promise<void> => {
    const name = `newcomer ${newcomers++}`;
    t.equal(await run(name, caller(name, name)), name);
    if (!ended && newcomers < 50) return arrive();
  };
  // Two at a time, so that there is always one that waits.
  await Promise.all([arrive(), arrive()]);
  t.equal(await first, 'first');
  t.equal(await passed, REFUSED);
  t.ok(newcomers < 8, `after ${newcomers} newcomers`);
  t.match(lane.state(), { waiting: 0, running: 0 });
});

t.test('the queue is bounded in count', async t => {
  const { lane, run } = startTimedLane(t, { maxWaitMs: 8000 });
  const hangUp = new AbortController();
  const from = (i: number, account = `account-${i}`) => caller(`address-${i}`, account, hangUp.signal);
  const hogging = Array.from({ length: 1100 }, (_, i) => run('hog', from(i, 'hog'), 4));
  t.equal(lane.state().waiting, 1000);
  t.type(lane.refusal(from(0, 'hog')), 'number');
  const newcomers = Array.from({ length: 1100 }, (_, i) => run('newcomer', from(i), 4));
  t.equal(lane.state().waiting, 1000, 'also when those who come go first');
  hangUp.abort();
  const results = await Promise.all([...hogging, ...newcomers]);
  t.equal(results.filter(result => result === REFUSED).length, 1199, 'the rest hung up, and the first was running');
  t.match(lane.state(), { waiting: 0 });
});

t.test('a hash that does not end is given up, and its thread replaced', async t => {
  const dir = t.testdir({
    'worker.mjs': `export default task => { while (task.cost === 5); return { value: 'done', tookMs: 1 }; }`,
  });
  const lane = createHashLane({ workers: 2, maxWaitMs: 60_000, hangMs: 5000, worker: `${dir}/worker.mjs` });
  t.teardown(() => lane.close());
  t.equal(await lane.run(hash(4), 4, anybody), 'done');
  const hanging = [1, 2].map(() => lane.run(hash(5), 5, anybody).catch(error => error));
  const patient = [1, 2, 3, 4].map(() => lane.run(hash(4), 4, anybody));
  for (const error of await Promise.all(hanging)) {
    t.match(error, {
      statusCode: 503,
      code: 'SERVICE_UNAVAILABLE',
      cause: { cause: { message: /^No result after \d+ ms/ } },
    });
  }
  t.same(await Promise.all(patient), ['done', 'done', 'done', 'done'], 'both threads are there again');
  t.match(lane.state(), { waiting: 0, running: 0 });
});

t.test('the threads have a low priority, the service has not', { skip: process.platform !== 'linux' }, async t => {
  const lane = createHashLane({ workers: 2, maxWaitMs: 10_000 });
  t.teardown(() => lane.close());
  await Promise.all([lane.run(hash(10), 10, anybody), lane.run(hash(10), 10, anybody)]);
  // Field 19 of stat(5), counted behind the name, which may hold spaces.
  const nice = (pid: string) =>
    Number(readFileSync(`/proc/self/task/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ')[16]);
  const priorities = readdirSync('/proc/self/task').map(nice);
  t.equal(nice(String(process.pid)), 0);
  t.equal(priorities.filter(priority => priority === 10).length, 2);
  const lower = createHashLane({ workers: 1, nice: 15, maxWaitMs: 10_000 });
  t.teardown(() => lower.close());
  await lower.run(hash(10), 10, anybody);
  t.equal(
    readdirSync('/proc/self/task')
      .map(nice)
      .filter(priority => priority === 15).length,
    1,
    'or another one',
  );
});

t.test('token checks, refreshes and health do not stand in line', async t => {
  const { base } = await startService(t, { bcryptCost: 12, hashWorkers: 1, hashMaxWaitMs: 60_000, logLevel: 'silent' });
  const credentials = newCredentials();
  const { body } = await post(`${base}/auth/sign-up`, credentials);
  let done = 0;
  const signIns = Array.from({ length: 6 }, () => post(`${base}/auth/sign-in`, credentials).then(() => done++));
  await until(async () => done > 0, 'the lane is busy');
  t.equal((await get(`${base}/auth/verify`, body.token)).status, 200);
  t.equal((await post(`${base}/auth/refresh`, { refreshToken: body.refreshToken })).status, 200);
  for (const path of ['/livez', '/readyz', '/.well-known/jwks.json']) t.equal((await get(base + path)).status, 200);
  t.ok(done < signIns.length, 'the sign-ins are still at it');
  await Promise.all(signIns);
});

t.test('overload is refused with a time to come back, and nothing is half done', async t => {
  const { base, sql, logs } = await startService(t, { bcryptCost: 10, hashWorkers: 1, hashMaxWaitMs: 100 });
  const answers = await Promise.all(Array.from({ length: 20 }, () => post(`${base}/auth/sign-up`, newCredentials())));
  const made = answers.filter(({ status }) => status === 201);
  const refused = answers.filter(({ status }) => status === 503);
  t.ok(made.length >= 1);
  t.equal(made.length + refused.length, answers.length);
  for (const { headers, body } of refused) {
    t.equal(body.code, 'service_unavailable');
    t.match(headers.get('retry-after'), /^[1-9]$/);
  }
  t.equal((await sql('SELECT count(*)::int AS count FROM auth.users')).rows[0].count, made.length);
  t.notMatch(logs.join(''), /"level":50/, 'it is no fault');
});

t.test('a hog that knows its password leaves honest people their sign-ins', async t => {
  const lane = { bcryptCost: 8, hashWorkers: 1, hashMaxWaitMs: 400, logLevel: 'silent' };
  const { base } = await startService(t, { ...lane, trustProxy: ['127.0.0.1'] });
  const [hog, honest] = [newCredentials(), newCredentials()];
  const signIn = (credentials: object, address: string) =>
    post(`${base}/auth/sign-in`, credentials, { 'x-forwarded-for': address });
  for (const credentials of [hog, honest]) await post(`${base}/auth/sign-up`, credentials);
  let over = false;
  let refused = 0;
  // Fewer than 100 requests a second: of an address that sends more, not all bodies are read while the lane is full.
  const hogAgain = async () => {
    while (!over) {
      if ((await signIn(hog, '198.51.100.1')).status !== 503) continue;
      refused++;
      await new Promise(resolve => setTimeout(resolve, 500));
    }
  };
  const hogging = Array.from({ length: 40 }, hogAgain);
  await until(async () => refused > 20, 'the lane is full');
  const statuses: number[] = [];
  for (let i = 0; i < 10; i++) {
    const address = i % 2 === 0 ? '198.51.100.2' : '198.51.100.1';
    statuses.push((await signIn(honest, address)).status);
  }
  over = true;
  await Promise.all(hogging);
  t.same(statuses, new Array(10).fill(200), 'from an address of their own, and from that of the hog');
});

t.test('comparisons cost as much as the row of the highest cost', async t => {
  const { base, sql, app } = await startService(t, { bcryptCost: 4 });
  const credentials = newCredentials();
  await post(`${base}/auth/sign-up`, credentials);
  const dear = await bcrypt.hash(credentials.password, 7);
  await sql('UPDATE auth.users SET password_hash = $1', [dear]);
  const costs: number[] = [];
  const { run } = app.hashLane;
  t.intercept(app.hashLane, 'run', {
    value: (...args: Parameters<typeof run>) => {
      costs.push(args[1]);
      return run(...args);
    },
  });
  t.equal((await post(`${base}/auth/sign-in`, credentials)).status, 200);
  t.equal((await post(`${base}/auth/sign-in`, newCredentials())).status, 401);
  t.same(costs, [7, 4, 7], 'a comparison, the new hash that the plain row gets, and an unknown account');
  app.passwords.matchCost(0);
  await post(`${base}/auth/sign-in`, newCredentials());
  t.equal(costs.at(-1), 4, 'until there is no such row any more');
});
