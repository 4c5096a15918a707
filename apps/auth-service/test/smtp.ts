import { once } from 'node:events';
import type { AddressInfo, Socket } from 'node:net';
import { SMTPServer, type SMTPServerOptions } from 'smtp-server';
import type { Test } from 'tap';

/** A mail that the server has taken: its envelope and its source. */
export type Taken = { to: string; from: string; source: string };

/** What the server does with a mail in place of taking it; a status refuses it. */
export type Fault = {
  rcpt?: number;
  data?: number;
  hangsUpInData?: boolean;
  stalls?: boolean;
  afterTaking?: boolean;
  /** Called when it has taken a mail, before it says so. */
  onTaken?: () => void;
};

/** Starts a mail server, which takes every mail until it is told otherwise. */
export async function startMailServer(t: Test, options: SMTPServerOptions = {}) {
  const taken: Taken[] = [];
  let fault: Fault = {};
  let connections = 0;
  const sockets = new Set<Socket>();
  const refusal = (status: number, to: string) =>
    Object.assign(new Error(`5.1.1 <${to}> is refused`), { responseCode: status });
  const make = () =>
    new SMTPServer({
      authOptional: true,
      disabledCommands: ['STARTTLS'],
      disableReverseLookup: true,
      closeTimeout: 100,
      logger: false,
      onConnect(_session, done) {
        connections++;
        if (!fault.stalls) done();
      },
      onRcptTo({ address }, _session, done) {
        done(fault.rcpt === undefined ? null : refusal(fault.rcpt, address));
      },
      onData(stream, session, done) {
        const chunks: Buffer[] = [];
        stream.on('data', chunk => {
          chunks.push(chunk);
          if (fault.hangsUpInData) for (const socket of sockets) socket.destroy();
        });
        stream.once('end', () => {
          // What was on its way still arrives.
          if (fault.hangsUpInData) return;
          const [to = ''] = session.envelope.rcptTo.map(({ address }) => address);
          if (fault.data !== undefined) return done(refusal(fault.data, to));
          const from = session.envelope.mailFrom ? session.envelope.mailFrom.address : '';
          taken.push({ to, from, source: Buffer.concat(chunks).toString() });
          fault.onTaken?.();
          if (fault.afterTaking) for (const socket of sockets) socket.destroy();
          else done();
        });
      },
      ...options,
    });
  let server = make();
  const listen = async (at: number) => {
    server.on('error', () => undefined);
    server.server.on('connection', (socket: Socket) => {
      sockets.add(socket);
      socket.once('close', () => sockets.delete(socket));
    });
    server.listen(at, '127.0.0.1');
    await once(server.server, 'listening');
  };
  await listen(0);
  const { port } = server.server.address() as AddressInfo;
  const close = async () => {
    for (const socket of sockets) socket.destroy();
    await new Promise<void>(resolve => server.close(() => resolve()));
  };
  t.teardown(() => close());
  return {
    taken,
    port,
    url: `smtp://127.0.0.1:${port}`,
    connections: () => connections,
    /** Makes the server do something else with the next mails; it takes them again without one. */
    set(next: Fault = {}) {
      fault = next;
    },
    /** Cuts all connections. */
    hangUp() {
      for (const socket of sockets) socket.destroy();
    },
    close,
    /** Listens again, on the same port. */
    async reopen() {
      server = make();
      await listen(port);
    },
  };
}

/** Undoes quoted-printable. */
export const decode = (source: string): string => {
  const unfolded = source.replace(/=\r?\n/g, '');
  const bytes = unfolded.replace(/=([0-9A-F]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  return Buffer.from(bytes, 'latin1').toString('utf8');
};
