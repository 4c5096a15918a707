// `pnpm bench …`: the bench, built first when need be.
import { build } from './build.js';

build();
await import(new URL('../bench/dist/run.js', import.meta.url).href);
