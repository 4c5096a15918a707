// The last step of the build of a service, in its folder: bundle.js ENTRY…, where an entry is `src/ENTRY.ts`. A process then
// reads a few files at its start instead of some 800. What is imported dynamically stays in files of its own.
import { rm } from 'node:fs/promises';
import { build } from 'esbuild';

// CommonJS modules in an ES module: what they find in their scope.
const COMMONJS = [
  `import { createRequire as bundleRequire } from 'node:module';`,
  `const require = bundleRequire(import.meta.url);`,
  `const __filename = import.meta.filename;`,
  `const __dirname = import.meta.dirname;`,
].join('\n');

// Their names change with what is in them.
await rm('dist/chunks', { recursive: true, force: true });
await build({
  entryPoints: process.argv.slice(2).map(entry => `src/${entry}.ts`),
  outdir: 'dist',
  chunkNames: 'chunks/[name]-[hash]',
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node20',
  sourcemap: true,
  sourcesContent: false,
  // Less to read at each start. Names stay, for stack traces.
  minifyWhitespace: true,
  minifySyntax: true,
  legalComments: 'none',
  banner: { js: COMMONJS },
  external: [
    // They load files of their own, beside them.
    ...['@fastify/swagger-ui', '@node-rs/argon2', 'bcrypt', 'piscina'],
    // CommonJS modules that are imported dynamically: of those, a bundle has no named exports.
    ...['@zxcvbn-ts/language-common', 'ioredis'],
    // Tracing patches what is loaded by this name.
    'pg',
    // Of pg, and nowhere installed.
    'pg-native',
    // A development dependency that is not in the image.
    '@latchkey/embedded-postgres',
  ],
  logLevel: 'warning',
});
