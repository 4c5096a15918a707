// `pnpm new-service NAME`: makes a guarded service, gives it a place in docker-compose.yml and pnpm-lock.yaml, and installs it.
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { listApps } from './app-ports.js';
import { lockService } from './lock-service.js';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const TEMPLATE = join(ROOT, 'scripts/new-service/template');
const NAME = /^[a-z][a-z0-9]*(-[a-z0-9]+)*$/;
const MAX_LENGTH = 30;
// Those before it are auth-service's and notes-service's.
const FIRST_PORT = 3010;
const GATEWAY = /^ {2}gateway:$/m;

const HELP = `Usage: pnpm new-service NAME

Makes apps/NAME-service: a Fastify service whose routes need a signed-in user, with tests against the test issuer and the real
auth-service, and an entry in docker-compose.yml; then installs it. NAME has small letters, digits and dashes, such as orders.`;

const { values, positionals } = readArguments();
if (values.help) {
  console.log(HELP);
  process.exit(0);
}
const [name = '', ...rest] = positionals;
const service = `${name}-service`;
const folder = join(ROOT, 'apps', service);
if (rest.length > 0 || !NAME.test(name) || name.length > MAX_LENGTH || name.endsWith('-service')) {
  fail(`"${positionals.join(' ')}" is not the name of a service, such as orders.\n\n${HELP}`);
}
if (existsSync(folder)) fail(`apps/${service} exists already.`);

const compose = readFileSync(join(ROOT, 'docker-compose.yml'), 'utf8');
if (!GATEWAY.test(compose)) fail('docker-compose.yml has no gateway, before which the service would be.');
// One behind those that the services have by default.
const port = Math.max(FIRST_PORT, ...listApps().map(({ port }) => port + 1));
const camel = name.replace(/-(\w)/g, (_, letter) => letter.toUpperCase());

cpSync(TEMPLATE, folder, { recursive: true });
for (const file of readdirSync(folder, { recursive: true, withFileTypes: true }).filter(entry => entry.isFile())) {
  const path = join(file.parentPath, file.name);
  const text = readFileSync(path, 'utf8')
    .replace(/sampleRoutes|sample/g, found => (found === 'sample' ? name : `${camel}Routes`))
    .replace('portSetting(0)', `portSetting(${port})`);
  writeFileSync(path, text);
  renameSync(path, join(file.parentPath, file.name.replace('sample', name)));
}
writeFileSync(join(ROOT, 'docker-compose.yml'), compose.replace(GATEWAY, `${composeEntry()}  gateway:`));
const lockfile = join(ROOT, 'pnpm-lock.yaml');
const manifest = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
writeFileSync(lockfile, lockService(readFileSync(lockfile, 'utf8'), `apps/${service}`, manifest, 'apps/notes-service'));

console.log(`Made apps/${service}, which listens on port ${port}, and its entry in docker-compose.yml.

  npx -y pnpm@10.34.9 test --filter=@latchkey/${service}   # builds what it needs, type-checks it and tests it
  npx -y pnpm@10.34.9 start   # starts it with the others

docs/new-service.md says how to go on.`);
install();

/** With the pnpm that runs this. Without it, the next command of pnpm installs. */
function install() {
  const pnpm = process.env['npm_execpath'];
  if (!pnpm?.includes('pnpm')) return;
  const { status } = spawnSync(process.execPath, [pnpm, 'install'], { cwd: ROOT, stdio: 'inherit' });
  process.exitCode = status ?? 1;
}

function readArguments() {
  try {
    return parseArgs({ allowPositionals: true, options: { help: { type: 'boolean', short: 'h' } } });
  } catch (error) {
    return fail(`${/** @type {Error} */ (error).message}\n\n${HELP}`);
  }
}

function composeEntry() {
  return `  ${service}:
    <<: *confined
    build:
      context: .
      dockerfile: deploy/Dockerfile
      args:
        APP: ${service}
    env_file:
      - path: ${service}.env
        required: false
    environment:
      PORT: ${port}
      AUTH_URL: http://auth-service:3000
      AUTH_ISSUER: \${PUBLIC_URL:-http://localhost:8080}
    depends_on:
      auth-service:
        condition: service_healthy
    restart: unless-stopped

`;
}

/** @returns {never} */
function fail(/** @type {string} */ message) {
  console.error(message);
  process.exit(2);
}
