// Writes .env for docker compose: .env.example with random secrets.
import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';

const SECRET_BYTES = 32;

const [target = new URL('../.env', import.meta.url), ...rest] = process.argv.slice(2);
if (String(target).startsWith('-') || rest.length > 0) {
  console.log(`Usage: node scripts/compose-env.js [FILE]

Writes FILE (.env of this repository) for docker compose: .env.example with random secrets. It never replaces a file.`);
  process.exit(['-h', '--help'].includes(String(target)) ? 0 : 2);
}

const example = readFileSync(new URL('../.env.example', import.meta.url), 'utf8');
const secret = () => randomBytes(SECRET_BYTES).toString('base64');
const lines = example.split('\n').map(line => (line.startsWith('#') ? line : line.replace(/\brandom$/, secret)));
// The first line says how the file is made.
const text = lines.slice(lines.indexOf('') + 1).join('\n');
try {
  writeFileSync(target, text, { flag: 'wx', mode: 0o600 });
} catch (error) {
  const { code, message } = /** @type {NodeJS.ErrnoException} */ (error);
  console.error(code === 'EEXIST' ? `There is a ${target} already: its secrets are in use, so it stays.` : message);
  process.exit(1);
}
