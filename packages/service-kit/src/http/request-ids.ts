import { randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';

const TAKEN = /^[\w.:-]{1,128}$/;
const PREFIX_LENGTH = 24;
const COUNTER_LENGTH = 12;

/** The ids of requests, by which logs, responses and audit events are joined. */
export type RequestIds = {
  /** A new id. It has the form of a UUID: a random part for each process, and a counter, which costs a tenth of a random one. */
  next(): string;
  /** The id that a trusted proxy has sent, which joins its log to ours, or else a new one: anybody else could forge that. */
  of(request: IncomingMessage): string;
};

/** @param isTrusted whether an address is that of a trusted proxy */
export function createRequestIds(isTrusted: (address: string | undefined) => boolean): RequestIds {
  const prefix = randomUUID().slice(0, PREFIX_LENGTH);
  let count = 0;
  const next = () => {
    count++;
    return prefix + count.toString(16).padStart(COUNTER_LENGTH, '0');
  };
  return {
    next,
    of(request) {
      const id = request.headers['x-request-id'];
      const isTaken = typeof id === 'string' && TAKEN.test(id) && isTrusted(request.socket.remoteAddress);
      return isTaken ? id : next();
    },
  };
}
