// Before the tests of a workspace package, in its folder: strips the types of `test/` into `dist-test/`. A loader that does so
// while a test file loads makes each of its modules take twice as long.
import { rm } from 'node:fs/promises';
import { build } from 'esbuild';

await rm('dist-test', { recursive: true, force: true });
await build({
  entryPoints: ['test/**/*.ts'],
  outdir: 'dist-test',
  format: 'esm',
  target: 'node20',
  sourcemap: 'inline',
  sourcesContent: false,
  logLevel: 'warning',
});
