// `pnpm fuzz …`: the fuzzer of the HTTP API, built first when need be.
import { build } from './build.js';

build();
await import(new URL('../bench/dist/fuzz.js', import.meta.url).href);
