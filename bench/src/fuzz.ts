// Sends what schemathesis makes of the OpenAPI document to a service of its own, and checks each response by the document.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import getPort from 'get-port';
import { stopAll, stopsOnce } from './cleanup.js';
import { setStage } from './stage.js';

const HELP = `Usage: pnpm fuzz [options]

Needs schemathesis on the PATH: pip install schemathesis==4.32.5

Options:
  --minutes N  how long (5)
  --seed N     of the run before, to see its requests again`;

const FOLDER = new URL('../src/fuzz/', import.meta.url).pathname;

const { minutes, seed } = readArguments();
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => void stopAll().finally(() => process.exit(130)));
}
try {
  process.exitCode = await fuzz();
} finally {
  await stopAll();
}

async function fuzz(): Promise<number> {
  const dataDir = await mkdtemp(join(tmpdir(), 'latchkey-fuzz-'));
  const removeData = stopsOnce(() => rm(dataDir, { recursive: true, force: true }));
  // Passkeys need a name, and mails are kept in development.
  const url = `http://localhost:${await getPort({ host: '127.0.0.1' })}`;
  const { port } = new URL(url);
  const stage = await setStage({ NODE_ENV: 'development', DATA_DIR: dataDir, PUBLIC_URL: url, PORT: port });
  await stage.start();
  const { id, secret } = await stage.newClient();
  const args = ['--config-file', join(FOLDER, 'schemathesis.toml'), 'run', `${url}/openapi.json`];
  const options = [
    ...['--max-time', String(minutes * 60), '--continue-on-failure', ...(seed ? ['--seed', seed] : [])],
    // It makes few addresses that fit the pattern of addresses.
    '--suppress-health-check=filter_too_much',
  ];
  const child = spawn('schemathesis', [...args, ...options], {
    // It keeps its cache where it runs.
    cwd: dataDir,
    env: {
      ...process.env,
      ...{ FUZZ_URL: url, FUZZ_CLIENT_ID: id, FUZZ_CLIENT_SECRET: secret },
      ...{ SCHEMATHESIS_HOOKS: join(FOLDER, 'hooks.py'), PYTHONDONTWRITEBYTECODE: '1' },
    },
    stdio: 'inherit',
  });
  stage.adopt(child);
  const [code] = await Promise.race([
    once(child, 'exit'),
    once(child, 'error').then(([error]) => {
      console.error(error.code === 'ENOENT' ? `There is no schemathesis on the PATH.\n\n${HELP}` : error.message);
      return [2];
    }),
  ]);
  await removeData();
  return code ?? 1;
}

function readArguments(): { minutes: number; seed: string | undefined } {
  const text = { type: 'string' } as const;
  const { values } = parseArgs({ options: { minutes: text, seed: text, help: { type: 'boolean', short: 'h' } } });
  if (values.help) {
    console.log(HELP);
    process.exit(0);
  }
  const minutes = Number(values.minutes ?? 5);
  if (!(minutes > 0)) {
    console.error(`--minutes must be a number above 0, not "${values.minutes}".`);
    process.exit(2);
  }
  return { minutes, seed: values.seed };
}
