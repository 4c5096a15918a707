import { readdirSync, readFileSync } from 'node:fs';
import bcrypt from 'bcrypt';
import t from 'tap';
import { createHashLane } from '../src/passwords/hash-lane.js';
import { get, newCredentials, post, startService, until } from './helper.js';

const anybody = new AbortController().signal;
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

t.test('refuses at once whoever would wait too long, and takes others as they come', async t => {
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
  const caller = new AbortController();
  const running = lane.run(hash(10), 10, caller.signal);
  const waiting = lane.run(hash(10), 10, caller.signal);
  const patient = lane.run(hash(4), 4, anybody);
  caller.abort();
  t.match(lane.state(), { waiting: 1, running: 1 });
  await t.rejects(waiting, { message: 'The caller has gone.' });
  await t.rejects(lane.run(hash(4), 4, caller.signal), { message: 'The caller has gone.' });
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

t.test('comparisons follow the dearest row', async t => {
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
