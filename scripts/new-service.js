// `pnpm new-service NAME`: makes a guarded service, and gives it a place in docker-compose.yml.
import { cpSync, existsSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const TEMPLATE = join(ROOT, 'scripts/new-service/template');
const NAME = /^[a-z][a-z0-9]*(-[a-z0-9]+)*$/;
const MAX_LENGTH = 30;
// Those before it are auth-service's and notes-service's.
const FIRST_PORT = 3010;

const HELP = `Usage: pnpm new-service NAME

Makes apps/NAME-service: a Fastify service whose routes need a signed-in user, with tests against the test issuer and the real
auth-service, and an entry in docker-compose.yml. NAME has small letters, digits and dashes, such as orders.`;

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
const port = nextPort();
const camel = name.replace(/-(\w)/g, (_, letter) => letter.toUpperCase());

cpSync(TEMPLATE, folder, { recursive: true });
for (const file of readdirSync(folder, { recursive: true, withFileTypes: true }).filter(entry => entry.isFile())) {
  const path = join(file.parentPath, file.name);
  const text = readFileSync(path, 'utf8')
    .replaceAll('sampleRoutes', `${camel}Routes`)
    .replaceAll('sample', name)
    .replace('portSetting(0)', `portSetting(${port})`);
  writeFileSync(path, text);
  renameSync(path, join(file.parentPath, file.name.replace('sample', name)));
}
writeFileSync(join(ROOT, 'docker-compose.yml'), compose.replace(/^ {2}gateway:$/m, `${composeEntry()}  gateway:`));

console.log(`Made apps/${service}, which listens on port ${port}, and its entry in docker-compose.yml.

  npx -y pnpm@10.34.9 install
  npx -y pnpm@10.34.9 --filter @latchkey/${service}... build
  npx -y pnpm@10.34.9 --filter @latchkey/${service} test
  npx -y pnpm@10.34.9 start        # starts it too

docs/new-service.md tells how it goes on.`);

function readArguments() {
  try {
    return parseArgs({ allowPositionals: true, options: { help: { type: 'boolean', short: 'h' } } });
  } catch (error) {
    return fail(`${/** @type {Error} */ (error).message}\n\n${HELP}`);
  }
}

/** The port behind those that the services have by default. */
function nextPort() {
  const ports = readdirSync(join(ROOT, 'apps')).flatMap(app => {
    const config = ['config.ts', 'config/sections/service.ts'].map(file => join(ROOT, 'apps', app, 'src', file));
    const text = config.filter(file => existsSync(file)).map(file => readFileSync(file, 'utf8'));
    return [...text.join().matchAll(/portSetting\((\d+)\)/g)].map(([, port]) => Number(port));
  });
  return Math.max(FIRST_PORT, ...ports.map(port => port + 1));
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
