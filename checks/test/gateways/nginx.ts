import { join } from 'node:path';
import getPort from 'get-port';
import { type Gateway, readConfiguration, readStepUp, run, skipWithout } from './gateway.js';

const TEMPORARY = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(name => `${name}_temp_path ${name};`);

/** As the official nginx image runs it: the template, filled in, within its `http {}`. */
export const nginx: Gateway = {
  name: 'nginx',
  can: ['ask', 'resend', 'identify', 'drop underscores', 'explain', 'demand'],
  skip: skipWithout('nginx', '-v', { isInDebian: true }),
  async start(t, { auth, notes }) {
    const port = await getPort({ host: '127.0.0.1' });
    const servers = (urls: string[]) => urls.map(url => `server ${new URL(url).host} fail_timeout=2s;`).join(' ');
    const values: Record<string, string> = {
      AUTH_SERVERS: servers(auth),
      NOTES_SERVERS: servers(notes),
      GATEWAY_LISTEN: `127.0.0.1:${port}`,
    };
    const template = readConfiguration('nginx/gateway.conf.template').replace(
      '# include /etc/nginx/step-up.conf;',
      'include step-up.conf;',
    );
    const dir = t.testdir({
      'nginx.conf': `daemon off; worker_processes 2; pid nginx.pid; error_log error.log;
        events {} http { access_log off; ${TEMPORARY.join('\n')} include server.conf; }`,
      'step-up.conf': readStepUp('nginx/step-up.conf'),
      'server.conf': template.replace(/\$\{(\w+)\}/g, (_, name) => values[name] ?? `\${${name}}`),
    });
    const parameters = ['-p', dir, '-c', join(dir, 'nginx.conf'), '-e', 'error.log'];
    return run(t, port, 'nginx', parameters, { endWith: 'SIGQUIT' });
  },
};
