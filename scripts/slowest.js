// Part of `pnpm test`: names the ten test files that took longest when they last ran. `--json` lists all files, as JSON.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const RESULTS = '.tap/test-results';

const results = ['apps', 'packages', '.']
  .flatMap(group => readdirSync(join(ROOT, group)).map(name => join(group, name)))
  .filter(folder => existsSync(join(ROOT, folder, RESULTS)))
  .flatMap(readResults)
  .sort((a, b) => b.seconds - a.seconds);

if (process.argv.includes('--json')) {
  console.log(JSON.stringify(results, null, 2));
} else {
  console.log('\nThe slowest test files:');
  for (const { file, seconds } of results.slice(0, 10)) console.log(`${seconds.toFixed(1).padStart(7)} s  ${file}`);
}

/**
 * What tap has written down about the test files of a workspace package.
 *
 * @param {string} folder
 */
function readResults(folder) {
  return readdirSync(join(ROOT, folder, RESULTS), { recursive: true, encoding: 'utf8' })
    .filter(name => name.endsWith('.tap'))
    .map(name => ({ name, file: join(folder, name.replace(/^dist-test(.*)\.js\.tap$/, 'test$1.ts')) }))
    .filter(({ file }) => existsSync(join(ROOT, file)))
    .map(({ name, file }) => {
      const report = readFileSync(join(ROOT, folder, RESULTS, name), 'utf8');
      const [, durationMs] = /^# time=([\d.]+)ms$/m.exec(report) ?? [];
      return {
        file,
        seconds: Number(durationMs ?? 0) / 1000,
        tests: report.match(/^(not )?ok /gm)?.length ?? 0,
      };
    });
}
