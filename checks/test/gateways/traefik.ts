import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import getPort from 'get-port';
import { type Gateway, placeUpstreams, readConfiguration, readStepUp, run, skipWithout } from './gateway.js';

export const traefik: Gateway = {
  name: 'Traefik',
  can: ['ask', 'demand'],
  skip: skipWithout('traefik', 'version', { isInDebian: false }),
  async start(t, upstreams) {
    const [port, verify] = [await getPort({ host: '127.0.0.1' }), await getPort({ host: '127.0.0.1' })];
    const dir = t.testdir({ 'traefik.yml': '', dynamic: {} });
    const place = (name: string, to = name, read = readConfiguration) => {
      const placed = placeUpstreams(read(`traefik/${name}`), upstreams)
        .replace('":8080"', `"127.0.0.1:${port}"`)
        .replaceAll('127.0.0.1:8081', `127.0.0.1:${verify}`)
        .replace('filename: /etc/traefik/dynamic.yml', `directory: ${join(dir, 'dynamic')}`);
      writeFileSync(join(dir, to), placed);
    };
    place('traefik.yml');
    place('dynamic.yml', 'dynamic/dynamic.yml');
    place('step-up.yml', 'dynamic/step-up.yml', readStepUp);
    const url = await run(t, port, 'traefik', ['--configFile', join(dir, 'traefik.yml')]);
    // It answers 404 to everything until it has read the other files, after some two seconds.
    while ((await fetch(`${url}/auth/me`)).status === 404) await pause(50);
    return url;
  },
};
