import { createHash } from 'node:crypto';
import type { ClientBase, QueryResult } from 'pg';

type Callback = (error: Error | undefined, result: QueryResult) => void;
type Send = (query: unknown, values?: unknown, callback?: unknown) => Promise<QueryResult> | undefined;

// The statement is not there, or is there already, or was planned for columns that have changed since. None of them was run.
const MISMATCHES = ['26000', '42P05', '0A000'];
// The statements of a service are constant, and far fewer.
const MAX_STATEMENTS = 1000;

/** Whether an error says that a prepared statement is not what its client takes it for. The statement was not run. */
export function isMismatch(error: unknown): boolean {
  const { code = '', routine } = error as { code?: string; routine?: string };
  return MISMATCHES.includes(code) && (code !== '0A000' || routine === 'RevalidateCachedQuery');
}

/**
 * Makes what lets the connections of one pool prepare their statements: one with parameters is parsed and planned once by
 * each connection, under a name that is the hash of its text. That is most of the time of a short statement.
 *
 * A pooler of transactions that knows no prepared statements, such as PgBouncer before 1.21, gives a client another
 * connection than the one that has prepared. From the first such response on, the pool prepares no more.
 *
 * @param onMismatch called when the pool stops preparing
 */
export function statementPreparer(onMismatch: (error: Error) => void): (client: ClientBase) => void {
  const names = new Map<string, string>();
  let prepares = true;

  const nameOf = (text: string): string | undefined => {
    const known = names.get(text);
    if (known !== undefined || names.size >= MAX_STATEMENTS) return known;
    // Traces show the name: it begins with what the statement does.
    const [verb] = /\w+/.exec(text) ?? [];
    const name = `${verb} ${createHash('sha256').update(text).digest('hex').slice(0, 32)}`;
    names.set(text, name);
    return name;
  };

  return client => {
    const send = client.query.bind(client) as Send;
    /** Whether a statement is to be sent once more, without a name: not in a transaction, which has failed as a whole. */
    const isToRepeat = (error: Error): boolean => {
      if (!isMismatch(error)) return false;
      if (prepares) onMismatch(error);
      prepares = false;
      return client.getTransactionStatus() === 'I';
    };
    const query: Send = (text, values, callback) => {
      const name = prepares && typeof text === 'string' && Array.isArray(values) ? nameOf(text) : undefined;
      if (name === undefined) return send(text, values, callback);
      if (typeof callback !== 'function') {
        return send({ name, text, values })?.catch((error: Error) => {
          if (!isToRepeat(error)) throw error;
          return send(text, values) as Promise<QueryResult>;
        });
      }
      const done = callback as Callback;
      return send({ name, text, values }, (error: Error | undefined, result: QueryResult) => {
        if (error && isToRepeat(error)) send(text, values, done);
        else done(error, result);
      });
    };
    client.query = query as typeof client.query;
  };
}
