import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const APPS = fileURLToPath(new URL('../apps', import.meta.url));
const SETTINGS = ['src/config.ts', 'src/config/sections/service.ts'];

/**
 * The services in apps/, each with the port that its settings have by default. A folder that Git has emptied may still hold what
 * was built: it is none.
 *
 * @returns {{ name: string, port: number }[]}
 */
export function listApps() {
  return readdirSync(APPS)
    .filter(name => existsSync(join(APPS, name, 'package.json')))
    .flatMap(name => {
      const files = SETTINGS.map(file => join(APPS, name, file)).filter(file => existsSync(file));
      const [, port] = /portSetting\((\d+)\)/.exec(files.map(file => readFileSync(file, 'utf8')).join()) ?? [];
      return port === undefined ? [] : [{ name, port: Number(port) }];
    });
}
