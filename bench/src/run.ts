// Shows what the service promises: speed by ratio to a reference in the same run, and the rest by trying to break it.
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { forgery } from './parts/forgery.js';
import { oracle } from './parts/oracle.js';
import { outage } from './parts/outage.js';
import { peers } from './parts/peers.js';
import { races } from './parts/races.js';
import { rotation } from './parts/rotation.js';
import { scale } from './parts/scale.js';
import { signOut } from './parts/sign-out.js';
import { speed } from './parts/speed.js';
import { storm } from './parts/storm.js';
import { toSvg } from './plot.js';
import { type Part, print, type Report, type Settings } from './report.js';

const HELP = `Usage: pnpm bench [PART…] [options]

Parts; all of them when none is named:
  speed      sign-ins, token checks and refreshes, each beside a reference in the same run; start and memory
  storm      token checks and refreshes while sign-ins arrive at 1, 5 and 50 times what can be hashed
  peers      sign-ins, and checks while 64 people sign in: here, at Better Auth and, where python3-flask is installed,
             at a Flask app; who is refused comes back when told, or at once if they insist
  scale      sign-ins with a thousand, a hundred thousand and a million accounts
  oracle     whether the time of a refused sign-in tells why it was refused
  races      parallel refreshes on 3 replicas, refreshes whose answer is lost, and stolen tokens
  rotation   keys rotate under load on 3 replicas; verifiers refuse no live token
  sign-out   from a sign-out to its token being refused by a verifier that follows another replica
  outage     auth-service and its database are away; verifiers go on for as long as they were told to
  forgery    mutated tokens, at the service and at a verifier

Options:
  --cost N         speed, storm, peers: bcrypt's cost (10)
  --seconds N      speed, storm, peers, rotation: length of a measurement (5, 10, 10), of the load (30)
  --rounds N       speed: how often measurement and reference take turns (5)
  --count N        races, forgery: how many (10000); oracle: how many of each kind (2000); sign-out: how many (300)
  --outage N       outage: how long, in seconds (30)
  --out DIR        write bench.json there, and the plots as SVG
  --json           print JSON only`;

const PARTS: Record<string, Part> = {
  ...{ speed, storm, peers, scale, oracle },
  ...{ races, rotation, 'sign-out': signOut, outage, forgery },
};

const value = { type: 'string' } as const;
let parsed: ReturnType<typeof parse>;
try {
  parsed = parse();
} catch (error) {
  fail((error as Error).message);
}
const { values, positionals } = parsed;
if (values.help) {
  console.log(HELP);
  process.exit(0);
}
const names = positionals.length > 0 ? positionals : Object.keys(PARTS);
const unknown = names.find(name => !(name in PARTS));
if (unknown !== undefined) fail(`There is no part "${unknown}".`);

const settings = Object.fromEntries(
  (['cost', 'seconds', 'rounds', 'count', 'outage'] as const).flatMap(name => {
    const value = values[name];
    if (value === undefined) return [];
    if (!/^[1-9]\d{0,8}$/.test(value)) fail(`--${name} must be a whole number, not "${value}".`);
    return [[name, Number(value)]];
  }),
) as Settings;

const reports: Report[] = [];
for (const name of names) {
  const report = await (PARTS[name] as Part)(settings);
  reports.push(report);
  if (!values.json) print(report);
}
if (values.json) console.log(JSON.stringify(reports, null, 2));
if (values.out !== undefined) {
  await mkdir(values.out, { recursive: true });
  await writeFile(join(values.out, 'bench.json'), `${JSON.stringify(reports, null, 2)}\n`);
  for (const [i, { plot }] of reports.entries()) {
    if (plot) await writeFile(join(values.out, `${names[i]}.svg`), toSvg(plot));
  }
}
// A broken promise of correctness is a failure; a missed figure is only written down.
if (reports.some(({ rows }) => rows.some(({ broken }) => broken))) process.exitCode = 1;

function parse() {
  return parseArgs({
    allowPositionals: true,
    options: {
      cost: value,
      seconds: value,
      rounds: value,
      count: value,
      outage: value,
      out: value,
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
}

function fail(message: string): never {
  console.error(`${message}\n\n${HELP}`);
  process.exit(2);
}
