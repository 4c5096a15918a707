import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startThrowawayPostgres } from '@latchkey/embedded-postgres';
import getPort from 'get-port';
import t from 'tap';
import { authSettings, call, startAuthService } from './services.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const ALERTS = join(ROOT, 'deploy/prometheus/alerts.yml');
const DASHBOARD = join(ROOT, 'deploy/grafana/latchkey.json');

const hasPromtool = spawnSync('promtool', ['--version']).status === 0;
if (!hasPromtool && process.env['CI']) t.fail('promtool is not installed, and in CI it must be');
const skip = hasPromtool ? false : 'promtool is not installed';

type Panel = { id: number; targets?: { expr: string }[] };
const panels: Panel[] = JSON.parse(readFileSync(DASHBOARD, 'utf8')).panels;
const expressions = panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr));

t.test('dashboard, alerts and documentation ask for what is told', async t => {
  const metricsPort = await getPort({ host: '127.0.0.1' });
  const postgres = await startThrowawayPostgres();
  t.teardown(postgres.stop);
  const settings = { ...authSettings(), DATABASE_URL: postgres.url, METRICS_PORT: String(metricsPort) };
  await startAuthService(t, settings);
  const { text: told } = await call(`http://127.0.0.1:${metricsPort}/metrics`);
  const types = new Map([...told.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name = '', type]) => [name, type]));
  const namesIn = (text: string) => {
    const found = text.match(/\b(latchkey|nodejs|process)_[a-z0-9_]+/g) ?? [];
    const isHistogram = (name: string) => types.get(name) === 'histogram';
    return new Set(found.map(name => (isHistogram(baseOf(name)) ? baseOf(name) : name)));
  };
  const asked = {
    dashboard: namesIn(expressions.join('\n')),
    alerts: namesIn(readFileSync(ALERTS, 'utf8')),
    documentation: namesIn(readFileSync(join(ROOT, 'docs/metrics.md'), 'utf8')),
    scaling: namesIn(readFileSync(join(ROOT, 'docs/scaling.md'), 'utf8')),
  };
  for (const [where, names] of Object.entries(asked)) {
    t.ok(names.size > 0, where);
    for (const name of names) t.ok(types.has(name), `${where}: ${name} is told`);
  }
  for (const name of types.keys()) {
    if (!name.startsWith('latchkey_')) continue;
    t.ok(asked.documentation.has(name), `${name} is documented`);
    t.ok(asked.dashboard.has(name), `${name} is on the dashboard`);
  }
  t.equal(new Set(panels.map(({ id }) => id)).size, panels.length);
});

const baseOf = (sample: string) => sample.replace(/_(bucket|count|sum)$/, '');

t.test('the alerts fire when they should, and Prometheus takes what the dashboard asks', { skip }, async t => {
  const check = (...args: string[]) => {
    const { status, stdout, stderr } = spawnSync('promtool', args, { encoding: 'utf8' });
    t.equal(status, 0, `${args.join(' ')}\n${stdout}${stderr}`);
  };
  check('check', 'rules', ALERTS);
  check('test', 'rules', join(ROOT, 'deploy/prometheus/alerts.test.yml'));
  const rules = expressions.map((expr, i) => ({
    record: `panel:${'x'.repeat(i + 1)}`,
    expr: expr.replaceAll('$__rate_interval', '5m'),
  }));
  const dir = t.testdir({ 'dashboard.yml': JSON.stringify({ groups: [{ name: 'dashboard', rules }] }) });
  check('check', 'rules', join(dir, 'dashboard.yml'));
});
