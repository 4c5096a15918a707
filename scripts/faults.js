// `pnpm faults …`: the fault suite, built first when need be.
import { build } from './build.js';

build();
await import(new URL('../bench/dist/faults.js', import.meta.url).href);
