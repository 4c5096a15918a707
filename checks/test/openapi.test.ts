import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startThrowawayPostgres } from '@latchkey/embedded-postgres';
import getPort from 'get-port';
import openapiTS, { astToString } from 'openapi-typescript';
import t from 'tap';
import { pythonProgram, typescriptProgram } from './openapi-programs.js';
import { authSettings, startAuthService } from './services.js';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const require = createRequire(import.meta.url);
/** The path of a program of a development dependency. */
function binaryOf(name: string, command: string): string {
  const manifest = findManifest(name);
  return join(dirname(manifest), JSON.parse(readFileSync(manifest, 'utf8')).bin[command]);
}
const findManifest = (name: string) =>
  (require.resolve.paths(name) ?? []).map(folder => join(folder, name, 'package.json')).find(exists) as string;
const exists = (path: string) => {
  try {
    return readFileSync(path).length > 0;
  } catch {
    return false;
  }
};

// Beside the tests, where openapi-fetch is found.
mkdirSync(new URL('generated/', import.meta.url), { recursive: true });
const folder = mkdtempSync(fileURLToPath(new URL('generated/', import.meta.url)));
t.teardown(() => rmSync(folder, { recursive: true, force: true }));

/** Runs a program to its end; returns what it wrote. */
function run(command: string, args: string[], cwd = folder) {
  const env = { ...process.env, REDOCLY_TELEMETRY: 'off', REDOCLY_SUPPRESS_UPDATE_NOTICE: 'true' };
  // Compilers do not run under the loaders that tap gives to each Node process.
  const bare = ['-u', 'NODE_OPTIONS', command, ...args];
  const { status, stdout, stderr, error } = spawnSync('env', bare, { cwd, env, encoding: 'utf8' });
  if (error) throw error;
  return { status, output: stdout + stderr };
}

let url: string;
let document: string;
t.before(async () => {
  const { url: DATABASE_URL, stop } = await startThrowawayPostgres();
  t.teardown(stop);
  const port = String(await getPort({ host: '127.0.0.1' }));
  // A name, without which there are no passkeys.
  url = `http://localhost:${port}`;
  const env = { ...authSettings(), DATABASE_URL, PORT: port, PUBLIC_URL: url, MAIL_FROM: 'auth@example.com' };
  await startAuthService(t, { ...env, SMTP_URL: 'smtp://127.0.0.1:9' });
  document = join(folder, 'openapi.json');
  writeFileSync(document, await (await fetch(`${url}/openapi.json`)).text());
});

t.test('Redocly finds nothing wrong with the document', async t => {
  // Its warnings are errors, by the rules.
  const options = ['--config', join(ROOT, '.redocly.yaml')];
  const linted = run(process.execPath, [binaryOf('@redocly/cli', 'redocly'), 'lint', document, ...options]);
  t.equal(linted.status, 0, linted.output);
});

/** Whether a program that is too large for every installation is on the `PATH`. */
const skipWithout = (program: string) =>
  spawnSync(program, ['--version']).status === 0 ? false : `${program} is not installed`;

t.test('nor does Spectral', { skip: skipWithout('spectral') }, async t => {
  const options = ['--ruleset', join(ROOT, '.spectral.yaml'), '--fail-severity', 'hint'];
  const linted = run('spectral', ['lint', document, ...options]);
  t.equal(linted.status, 0, linted.output);
});

t.test('a client that openapi-typescript and openapi-fetch make signs up and in', async t => {
  writeFileSync(join(folder, 'api.ts'), astToString(await openapiTS(readFileSync(document, 'utf8'))));
  writeFileSync(join(folder, 'program.ts'), typescriptProgram);
  const options = [
    '--ignoreConfig',
    '--strict',
    '--module',
    'nodenext',
    '--target',
    'es2023',
    '--types',
    'node',
    '--skipLibCheck',
  ];
  const compile = () =>
    run(process.execPath, [binaryOf('@typescript/native', 'tsc'), ...options, join(folder, 'program.ts')]);
  const compiled = compile();
  t.equal(compiled.status, 0, compiled.output);
  const ran = run(process.execPath, [join(folder, 'program.js'), url]);
  t.same([ran.status, ran.output], [0, 'signed in\n']);

  writeFileSync(join(folder, 'program.ts'), typescriptProgram.replaceAll('user.username', 'user.name'));
  t.match(compile(), { status: /[^0]/, output: /'name' does not exist/ }, 'the types are those of the document');
});

const GENERATOR = 'openapi-python-client';
t.test(`a client that ${GENERATOR} makes signs up and in`, { skip: skipWithout(GENERATOR) }, async t => {
  const generated = run(GENERATOR, ['generate', '--path', document, '--output-path', 'latchkey', '--meta', 'none']);
  t.equal(generated.status, 0, generated.output);
  t.notMatch(generated.output, /WARNING|Unable|Unsupported/i);
  writeFileSync(join(folder, 'program.py'), pythonProgram);
  // The interpreter that has the generator has httpx and attrs, which its clients need.
  const python = readFileSync(spawnSync('which', [GENERATOR], { encoding: 'utf8' }).stdout.trim(), 'utf8');
  const [, interpreter = 'python3'] = /^#!(\S+)/.exec(python) ?? [];
  const ran = run(interpreter, ['program.py', url]);
  t.same([ran.status, ran.output], [0, 'signed in\n']);
});
