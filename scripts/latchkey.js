// `pnpm latchkey …`: the auth-service's command line, built first when need be.
import { build } from './build.js';

build();
await import(new URL('../apps/auth-service/dist/cli.js', import.meta.url).href);
