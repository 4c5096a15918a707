// What tap loads before each test file, by .taprc.
import { createRequire } from 'node:module';
// Strips types many times faster than the compiler that tap has built in.
import 'tsx';

// tap loads its recorder into every Node process that a test starts, for coverage and `--changed`. Neither is used here, and
// a process starts in half the time without.
createRequire(import.meta.url)('process-on-spawn').removeAllListeners();
