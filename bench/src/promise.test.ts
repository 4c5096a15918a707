import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { keepsPromise } from './promise.js';

test('a promise is compared with the ratio where there is one, otherwise with what was measured', () => {
  const cases: [promise: string, value: number | string, isKept: boolean][] = [
    ['', 'anything', true],
    ['yes', 'yes', true],
    ['yes', 'no', false],
    ['0', 0, true],
    ['0', 1, false],
    ['1', 1, true],
    ['< 1000', 999.9, true],
    ['< 1000', 1000, false],
    ['≤ 15', 15, true],
    ['≤ 15', 15.1, false],
    ['> 3', 3, false],
    ['> 3', 3.1, true],
    ['≥ 0.90', 0.9, true],
    ['≥ 0.90', 0.899, false],
    ['0.47 to 0.53', 0.47, true],
    ['0.47 to 0.53', 0.53, true],
    ['0.47 to 0.53', 0.531, false],
    ['-5 to 5', -5.1, false],
    ['≤ 15', Number.NaN, false],
    ['0', Number.NaN, false],
    ['≤ 15', 'none', false],
    ['0.47 to 0.53', '0.5', false],
  ];
  for (const [promise, value, isKept] of cases) {
    assert.equal(keepsPromise({ measured: value, promise }), isKept, `${promise}: ${value}`);
    if (typeof value !== 'number') continue;
    assert.equal(keepsPromise({ measured: -1e9, ratio: value, promise }), isKept, `${promise}: ratio ${value}`);
  }
});

test('a promise that cannot be judged is an error, not one that is kept', () => {
  for (const promise of ['the same', '≈ 0', '300 s', '<1000', '≥', '1.2.3', '< 1.2.3', '0, 300', 'no', ' ']) {
    assert.throws(() => keepsPromise({ measured: 0, promise }), /promise/, promise);
  }
});

test('every promise that a part makes can be judged', () => {
  const folder = fileURLToPath(new URL('../src/', import.meta.url));
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter(file =>
    /(?<!\.test)\.ts$/.test(file),
  );
  const promises = files.flatMap(file => {
    const source = readFileSync(folder + file, 'utf8');
    const given = source.matchAll(/promise: (?:[^,'`\n]*\? )?(['`])(.*?)\1/g);
    const comparisons = source.matchAll(/(['`])([<≤≥>≈] .*?)\1/g);
    return [...given, ...comparisons].map(([, , promise = '']) => ({
      file,
      promise: promise.replace(/\$\{.*?\}/g, '1'),
    }));
  });
  assert.ok(promises.length > 50, `${promises.length} were found`);
  for (const { file, promise } of promises) {
    assert.doesNotThrow(() => keepsPromise({ measured: 0, promise }), `${file}: ${promise}`);
  }
});
