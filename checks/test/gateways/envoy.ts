import { join } from 'node:path';
import getPort from 'get-port';
import { type Gateway, placeUpstreams, readConfiguration, readStepUp, run, skipWithout } from './gateway.js';

export const envoy: Gateway = {
  name: 'Envoy',
  can: ['ask', 'resend', 'identify', 'drop underscores', 'explain', 'demand'],
  skip: skipWithout('envoy', '--version', { isInDebian: false }),
  start: (t, upstreams) => startEnvoy(t, upstreams, withStepUp(readConfiguration('envoy/envoy.yaml'))),
};

/** Adds the route that demands a second factor before the others. */
function withStepUp(configuration: string): string {
  const [routes = ''] = /^ +routes:\n/m.exec(configuration) ?? [];
  const indent = ' '.repeat(routes.search(/\S/) + 2);
  return configuration.replace(routes, routes + readStepUp('envoy/step-up.yaml').replaceAll(/^(?=.)/gm, indent));
}

export async function startEnvoy(...[t, { auth, notes }, configuration]: [...Parameters<Gateway['start']>, string]) {
  const port = await getPort({ host: '127.0.0.1' });
  const text = configuration
    .replace('address: 0.0.0.0, port_value: 8080', `address: 127.0.0.1, port_value: ${port}`)
    .replace(/address: (auth|notes)-([12]), port_value: 300[01]/g, (_, service, number) => {
      const { hostname, port } = new URL(placeUpstreams(`http://${service}-${number}:3000`, { auth, notes }));
      return `address: ${hostname}, port_value: ${port}`;
    });
  const dir = t.testdir({ 'envoy.yaml': text });
  // Several of them may run at once.
  const parameters = ['-c', join(dir, 'envoy.yaml'), '--use-dynamic-base-id', '--concurrency', '2', '-l', 'error'];
  return run(t, port, 'envoy', parameters);
}
