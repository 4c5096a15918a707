import { isIP } from 'node:net';
import ipaddr from 'ipaddr.js';

/** What can be known of where a request comes from: Fastify says that there is always an address, but there is not. */
export type From = { ip?: string | undefined };

/**
 * The caller's IP address, as PostgreSQL's `inet` takes it; the only place that reads it of a request. `null` when it is
 * not known: the connection was reset before its address was read, or what a gateway says is no address.
 */
export function addressOf({ ip }: From): string | null {
  return parseAddress(ip);
}

/** Reads an address as gateways write it: some add the port, IPv6 then in brackets, or a zone. */
function parseAddress(text: string | null | undefined): string | null {
  if (typeof text !== 'string') return null;
  const [, inBrackets, withPort] = /^(?:\[([^\]]+)\](?::\d+)?|([\d.]+):\d+)$/.exec(text) ?? [];
  const [address = ''] = (inBrackets ?? withPort ?? text).split('%');
  return isIP(address) ? address : null;
}

/**
 * Whom an address stands for, as far as throttles go: an IPv4 address for itself, also when it comes mapped into IPv6,
 * and an IPv6 address for its /64, since a host that has one of those has all of them. All that are not known count as one.
 */
export function foldAddress(ip: string | null | undefined): string {
  const text = parseAddress(ip);
  if (text === null) return 'unknown';
  // Takes an IPv4-mapped one for the IPv4 address.
  const address = ipaddr.process(text);
  if (address instanceof ipaddr.IPv4) return address.toString();
  const network = address.parts.slice(0, 4).map(group => group.toString(16));
  return `${network.join(':')}::/64`;
}
