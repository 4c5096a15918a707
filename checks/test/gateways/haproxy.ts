import { join } from 'node:path';
import getPort from 'get-port';
import { type Gateway, placeUpstreams, readConfiguration, run, skipWithout } from './gateway.js';

export const haproxy: Gateway = {
  name: 'haproxy',
  can: ['resend', 'identify', 'drop underscores', 'explain'],
  skip: skipWithout('haproxy', '-v', { isInDebian: true }),
  async start(t, upstreams) {
    const port = await getPort({ host: '127.0.0.1' });
    const configuration = placeUpstreams(readConfiguration('haproxy/haproxy.cfg'), upstreams);
    const dir = t.testdir({ 'haproxy.cfg': configuration.replace('bind :8080', `bind 127.0.0.1:${port}`) });
    return run(t, port, 'haproxy', ['-db', '-f', join(dir, 'haproxy.cfg')], { endWith: 'SIGUSR1' });
  },
};
