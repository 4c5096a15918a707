import { readFileSync } from 'node:fs';

/** The version of the service. */
export const VERSION: string = JSON.parse(readFileSync(new URL(import.meta.resolve('#package.json')), 'utf8')).version;
