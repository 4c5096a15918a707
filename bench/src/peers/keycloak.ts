import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { promisify } from 'node:util';
import getPort from 'get-port';
import { checker, type OnEnd, type Peer, post } from './peer.js';

const run = promisify(execFile);

const VERSION = '26.7.3';
const CREDENTIALS = { username: 'peer', password: 'open sesame 42' };
// A whole machine is busy with it at first.
const START_S = 600;
// Java compiles what runs often.
const WARM_UP_S = 20;
const AN_HOUR_S = 3600;
const OUTPUT_LENGTH = 2000;

/** What the bench asks of Keycloak: one account, which signs in by its password. */
const REALM = {
  realm: 'bench',
  enabled: true,
  accessTokenLifespan: AN_HOUR_S,
  clients: [{ clientId: 'bench', enabled: true, publicClient: true, directAccessGrantsEnabled: true }],
  users: [
    {
      username: CREDENTIALS.username,
      enabled: true,
      email: 'peer@example.com',
      emailVerified: true,
      firstName: 'A',
      lastName: 'Peer',
      credentials: [{ type: 'password', value: CREDENTIALS.password }],
    },
  ],
};

/** What a machine must have to run Keycloak's distribution, unless it has all. */
export async function findMissing(home: string | undefined): Promise<string | undefined> {
  for (const command of ['java', ...(home === undefined ? ['mvn'] : [])]) {
    const isThere = await run(command, ['-version']).then(
      () => true,
      () => false,
    );
    if (!isThere) return command;
  }
  return undefined;
}

/**
 * Keycloak in development mode, with its embedded database and its own hash, Argon2. Maven downloads it into its repository, unless
 * it is given the folder of a distribution.
 */
export async function startKeycloak(home: string | undefined, onEnd: OnEnd): Promise<Peer> {
  // Its first start builds it, and its database lies beside that.
  const folder = await mkdtemp(join(tmpdir(), 'latchkey-bench-keycloak-'));
  onEnd(() => rm(folder, { recursive: true, force: true }));
  if (home === undefined) await unpack(folder);
  else await cp(home, join(folder, 'keycloak'), { recursive: true });
  // Maven leaves notes beside it.
  const root = join(folder, (await readdir(folder)).find(name => name.startsWith('keycloak')) ?? '');
  await mkdir(join(root, 'data', 'import'), { recursive: true });
  await writeFile(join(root, 'data', 'import', 'bench-realm.json'), JSON.stringify(REALM));

  const port = String(await getPort({ host: '127.0.0.1' }));
  const { PATH, JAVA_HOME } = process.env;
  const child = spawn('bash', [join(root, 'bin', 'kc.sh'), 'start-dev', '--import-realm'], {
    env: { PATH, ...(JAVA_HOME && { JAVA_HOME }), KC_HTTP_HOST: '127.0.0.1', KC_HTTP_PORT: port },
    stdio: ['ignore', 'pipe', 'pipe'],
    // The script starts others, which end with its group.
    detached: true,
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => {
      output = (output + chunk).slice(-OUTPUT_LENGTH);
    });
  const exited = once(child, 'exit');
  onEnd(async () => {
    try {
      process.kill(-(child.pid as number), 'SIGKILL');
    } catch {
      // It has ended by itself.
    }
    await exited;
  });

  const realm = `http://127.0.0.1:${port}/realms/${REALM.realm}/protocol/openid-connect`;
  const signIn = {
    url: `${realm}/token`,
    body: { grant_type: 'password', client_id: 'bench', scope: 'openid', ...CREDENTIALS },
    isForm: true,
  };
  const token = await firstToken(signIn, () => child.exitCode !== null);
  if (token === undefined) throw new Error(`Keycloak did not start:\n${output}`);
  return {
    name: 'Keycloak, Argon2',
    signIn,
    hasOwnHash: true,
    warmUpS: WARM_UP_S,
    check: checker(`${realm}/userinfo`, { headers: { authorization: `Bearer ${token}` } }, CREDENTIALS.username),
  };
}

async function unpack(folder: string): Promise<void> {
  const goal = 'org.apache.maven.plugins:maven-dependency-plugin:3.8.1:unpack';
  const artifact = `-Dartifact=org.keycloak:keycloak-quarkus-dist:${VERSION}:zip`;
  await run('mvn', ['--batch-mode', '--quiet', goal, artifact, `-DoutputDirectory=${folder}`], { cwd: folder });
}

async function firstToken(signIn: Peer['signIn'], hasEnded: () => boolean): Promise<string | undefined> {
  for (let second = 0; second < START_S && !hasEnded(); second++) {
    try {
      const { access_token: token } = (await (await post(signIn)).json()) as { access_token: string };
      return token;
    } catch {
      await setTimeout(1000);
    }
  }
  return undefined;
}
