import { isIP, isIPv4, isIPv6 } from 'node:net';

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
  const address = parseAddress(ip);
  if (address === null) return 'unknown';
  if (!isIPv6(address)) return address;
  const groups = expand(address);
  const isMapped = groups.slice(0, 5).every(group => group === 0) && groups[5] === 0xffff;
  if (isMapped) return [groups[6], groups[7]].flatMap(group => bytes(group as number)).join('.');
  const network = groups.slice(0, 4).map(group => group.toString(16));
  return `${network.join(':')}::/64`;
}

/** The eight groups of an IPv6 address. */
function expand(address: string): number[] {
  const [head = '', tail] = address.split('::');
  const [before, after] = [parseGroups(head), parseGroups(tail ?? '')];
  const zeros = new Array<number>(tail === undefined ? 0 : 8 - before.length - after.length).fill(0);
  return [...before, ...zeros, ...after];
}

function parseGroups(text: string): number[] {
  return text.split(':').flatMap(group => {
    if (group === '') return [];
    if (!isIPv4(group)) return [Number.parseInt(group, 16)];
    const [a = 0, b = 0, c = 0, d = 0] = group.split('.').map(Number);
    return [a * 256 + b, c * 256 + d];
  });
}

function bytes(group: number): [number, number] {
  return [group >> 8, group & 0xff];
}
