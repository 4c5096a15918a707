import { once } from 'node:events';
import type { AddressInfo, Socket } from 'node:net';
import { SMTPServer } from 'smtp-server';
import { stopsOnce } from '../cleanup.js';

/** A mail that the server has taken. */
export type Delivery = {
  /** The Message-ID. */
  id: string;
  to: string;
  /** The user that the sender has signed in as. */
  by: string;
  at: number;
  /** Whether the sender can know it: the server has sent its 250, and has not cut the connection off at once. */
  isSaid: boolean;
};

const FAULTS = [
  'refused at RCPT TO',
  'refused after DATA',
  'cut off in DATA',
  'taken, then cut off',
  'stalled',
] as const;
type Fault = (typeof FAULTS)[number];

/** A mail server with faults. */
export type MailServer = {
  port: number;
  deliveries: Delivery[];
  /** How often each fault has happened. */
  faults: Map<string, number>;
  /** From now on it takes every mail. */
  recover(): void;
  /** Refuses connections for a while. */
  leave(): Promise<void>;
  comeBack(): Promise<void>;
  stop(): Promise<void>;
};

const REFUSED = Object.assign(new Error('4.3.2 Not now'), { responseCode: 451 });

/**
 * Starts a mail server, on which a share of the mails meets a fault. Everybody may sign in.
 *
 * @param share of the mails, from 0 to 1
 */
export async function startMailServer(share: number): Promise<MailServer> {
  const deliveries: Delivery[] = [];
  const faults = new Map<string, number>();
  const sockets = new Map<string, Socket>();
  // The last mail of each open connection.
  const open = new Map<string, Delivery>();
  let isHealthy = false;
  const planned = new Map<string, Fault>();
  const meets = (session: { id: string }, fault: Fault) => {
    if (isHealthy || planned.get(session.id) !== fault) return false;
    faults.set(fault, (faults.get(fault) ?? 0) + 1);
    return true;
  };
  const keyOf = ({
    remoteAddress,
    remotePort,
  }: {
    remoteAddress?: string | undefined;
    remotePort?: number | undefined;
  }) => `${remoteAddress}:${remotePort}`;

  const make = () =>
    new SMTPServer({
      allowInsecureAuth: true,
      disabledCommands: ['STARTTLS'],
      disableReverseLookup: true,
      closeTimeout: 100,
      logger: false,
      onConnect(session, done) {
        const fault = FAULTS[Math.floor(Math.random() * FAULTS.length)];
        if (fault && Math.random() < share) planned.set(session.id, fault);
        if (!meets(session, 'stalled')) done();
      },
      onClose(session) {
        planned.delete(session.id);
        open.delete(session.id);
      },
      onAuth: ({ username }, _session, done) => done(null, { user: username }),
      onRcptTo: (_address, session, done) => done(meets(session, 'refused at RCPT TO') ? REFUSED : null),
      onData(stream, session, done) {
        const chunks: Buffer[] = [];
        let isCut = false;
        const hangUp = () => sockets.get(keyOf(session))?.destroy();
        stream.on('data', (chunk: Buffer) => {
          chunks.push(chunk);
          if (isCut || !meets(session, 'cut off in DATA')) return;
          isCut = true;
          hangUp();
        });
        stream.once('end', () => {
          // What was on its way still arrives.
          if (isCut) return;
          if (meets(session, 'refused after DATA')) return done(REFUSED);
          const [, id = ''] = /^Message-ID: <(.*)>\r$/im.exec(Buffer.concat(chunks).toString()) ?? [];
          const to = session.envelope.rcptTo[0]?.address ?? '';
          const isSaid = !meets(session, 'taken, then cut off');
          const delivery = { id, to, by: String(session.user), at: performance.now(), isSaid };
          deliveries.push(delivery);
          open.set(session.id, delivery);
          if (isSaid) done();
          else hangUp();
        });
      },
    });

  let server = make();
  const listen = async (at: number) => {
    server.on('error', () => undefined);
    server.server.on('connection', (socket: Socket) => {
      const key = keyOf(socket);
      sockets.set(key, socket);
      socket.once('close', () => sockets.delete(key));
    });
    server.listen(at, '127.0.0.1');
    await once(server.server, 'listening');
  };
  await listen(0);
  const { port } = server.server.address() as AddressInfo;
  const leave = async () => {
    for (const delivery of open.values()) delivery.isSaid = false;
    for (const socket of sockets.values()) socket.destroy();
    await new Promise<void>(resolve => server.close(() => resolve()));
  };
  return {
    port,
    deliveries,
    faults,
    recover() {
      isHealthy = true;
    },
    leave,
    async comeBack() {
      server = make();
      await listen(port);
    },
    stop: stopsOnce(leave),
  };
}
