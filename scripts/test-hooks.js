// What Node loads before each test file, by NODE_OPTIONS in .taprc: before tap's own loaders.
import { createRequire, syncBuiltinESMExports } from 'node:module';

const require = createRequire(import.meta.url);

// The processes that a test starts need none of this.
delete process.env['NODE_OPTIONS'];

// tap loads its recorder into every Node process that a test starts, for coverage and `--changed`. Neither is used here, and
// a process starts in half the time without.
require('process-on-spawn').removeAllListeners();

// Nor are the hooks that tap has for coverage and `t.mockImport`, through which each module takes twice as long to load.
require('node:module').register = () => undefined;
syncBuiltinESMExports();
