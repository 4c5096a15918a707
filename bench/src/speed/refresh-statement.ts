import { parseRefreshToken, type RefreshToken } from '../refresh-tokens.js';
import { clientOf, type Stage, signUp } from '../stage.js';
import { type Statement, startRecorder } from '../statements.js';

type Value = Statement['values'][number];

/** What a value of the refresh statement is: a part of the token, or the same for every token. */
export type Parameter =
  | { part: 'accountId' | 'sessionId' | 'generation' | 'mac' | 'seeds' }
  | { constant: string | null };

/** The statement of a refresh, with what its values are made of. */
export type RefreshStatement = { text: string; parameters: Parameter[] };

/** Learns the statement of a refresh from two that the service makes of successive tokens of a session. */
export async function recordRefreshStatement(stage: Stage, key: Buffer): Promise<RefreshStatement> {
  const recorder = await startRecorder(stage.postgres.url);
  const server = await stage.start({ DATABASE_URL: recorder.url });
  try {
    const client = clientOf(server);
    const first = (await signUp(client)).refreshToken;
    const { sessionId } = parseRefreshToken(key, first);
    recorder.take(sessionId);
    const second = (await client.refresh(first)).refreshToken;
    const [firstStatement] = recorder.take(sessionId);
    await client.refresh(second);
    const [secondStatement, ...others] = recorder.take(sessionId);
    if (!firstStatement || !secondStatement || others.length > 0)
      throw new Error('A refresh is no longer one statement with the id of the session.');
    return readStatement(
      { token: parseRefreshToken(key, first), values: firstStatement.values },
      { token: parseRefreshToken(key, second), values: secondStatement.values },
      secondStatement.text,
    );
  } finally {
    await server.stop();
    recorder.stop();
  }
}

type Recorded = { token: RefreshToken; values: Value[] };

/** Tells the parts of the token among the values: what equals a part in both statements is that part. */
export function readStatement(first: Recorded, second: Recorded, text: string): RefreshStatement {
  const parameters = second.values.map((value, i): Parameter => {
    const part = PARTS.find(
      name => textOf(value) === FORMS[name](second.token) && textOf(first.values[i]) === FORMS[name](first.token),
    );
    if (part) return { part };
    if (Buffer.isBuffer(value)) throw new Error(`The refresh statement has bytes of an unknown kind, $${i + 1}.`);
    return { constant: value };
  });
  const missing = PARTS.filter(name => !parameters.some(parameter => 'part' in parameter && parameter.part === name));
  if (missing.length > 0) throw new Error(`The refresh statement no longer has ${missing.join(', ')} of its token.`);
  return { text, parameters };
}

/** The parts of a token as PostgreSQL's text. */
const FORMS = {
  accountId: ({ accountId }: RefreshToken) => accountId,
  sessionId: ({ sessionId }: RefreshToken) => sessionId,
  generation: ({ generation }: RefreshToken) => String(generation),
  mac: ({ mac }: RefreshToken) => `\\x${mac.toString('hex')}`,
  seeds: ({ seed }: RefreshToken) => `{\\\\x${seed.toString('hex')}}`,
};
const PARTS = Object.keys(FORMS) as (keyof typeof FORMS)[];

const textOf = (value: Value | undefined) => (Buffer.isBuffer(value) ? `\\x${value.toString('hex')}` : value);
