import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';

/** A statement as a client sent it: values are in their text form, bytes as they are. */
export type Statement = { text: string; values: (string | Buffer | null)[] };

/**
 * Stands between a service and its database and keeps the statements that pass, with their values. So the bench learns what
 * the service really asks, and needs to know nothing of its modules.
 */
export async function startRecorder(databaseUrl: string) {
  const url = new URL(databaseUrl);
  const target = { host: url.hostname, port: Number(url.port), noDelay: true };
  let statements: Statement[] = [];
  const server = createServer({ noDelay: true }, client => {
    const database = connect(target);
    for (const [one, other] of [[client, database] as const, [database, client] as const])
      one.on('error', () => undefined).on('close', () => other.destroy());
    client.on(
      'data',
      readStatements(statement => void statements.push(statement)),
    );
    client.pipe(database).pipe(client);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  url.port = String((server.address() as AddressInfo).port);
  return {
    url: url.href,
    /** The statements since it was asked before that have this among their values. */
    take(value: string): Statement[] {
      const taken = statements.filter(({ values }) => values.includes(value));
      statements = statements.filter(({ values }) => !values.includes(value));
      return taken;
    },
    stop: () => void server.close(),
  };
}

/** Reads what a client sends by the extended query protocol: https://www.postgresql.org/docs/current/protocol-message-formats.html */
function readStatements(onStatement: (statement: Statement) => void) {
  const texts = new Map<string, string>();
  let rest: Buffer = Buffer.alloc(0);
  // The first message has no letter for its type.
  let head = 0;
  return (chunk: Buffer) => {
    rest = Buffer.concat([rest, chunk]);
    while (rest.length >= head + 4 && rest.length >= head + rest.readInt32BE(head)) {
      const end = head + rest.readInt32BE(head);
      const type = head === 0 ? '' : String.fromCharCode(rest[0] as number);
      const body = rest.subarray(head + 4, end);
      const [first = '', second = ''] = body.toString('latin1').split('\0', 2);
      const behind = first.length + second.length + 2;
      if (type === 'P') texts.set(first, body.toString('utf8', first.length + 1, behind - 1));
      if (type === 'B') onStatement({ text: texts.get(second) ?? '', values: readValues(body.subarray(behind)) });
      rest = rest.subarray(end);
      head = 1;
    }
  };
}

/** Reads the values of a Bind message: the formats, none for text or one for all or one each, then lengths and values. */
function readValues(body: Buffer): Statement['values'] {
  const formats = Array.from({ length: body.readInt16BE(0) }, (_, i) => body.readInt16BE(2 + 2 * i));
  let at = 2 + 2 * formats.length;
  const count = body.readInt16BE(at);
  at += 2;
  return Array.from({ length: count }, (_, i) => {
    const length = body.readInt32BE(at);
    at += 4;
    if (length < 0) return null;
    const value = body.subarray(at, at + length);
    at += length;
    const isBinary = (formats.length === 1 ? formats[0] : formats[i]) === 1;
    return isBinary ? Buffer.from(value) : value.toString('utf8');
  });
}
