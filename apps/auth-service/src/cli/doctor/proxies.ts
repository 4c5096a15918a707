import { isIPv4, isIPv6 } from 'node:net';
import { trustedProxies } from '@latchkey/service-kit';
import type { Settings } from '../../config/settings.js';
import { type Finding, fail, ok, warn } from './finding.js';

const NAME = 'TRUST_PROXY';
// Private networks, where gateways are, and their prefix lengths.
const PRIVATE = [
  ...['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', '100.64.0.0/10', '127.0.0.0/8', '169.254.0.0/16'],
  ...['fc00::/7', 'fe80::/10', '::1/128'],
].map(block => ({ contains: trustedProxies([block]), bits: Number(block.split('/')[1]) }));

// Half of the internet, or more.
const EVERYBODY_BITS = 1;
// Wider public networks than gateways have.
const WIDE_BITS = { v4: 8, v6: 16 };
// IPv4 addresses written as IPv6 ones.
const MAPPED = /^::ffff:/i;
const MAPPED_BITS = 96;

/** Checks which proxies the service trusts to forward the address of a caller. */
export function checkProxies({ trustProxy, production }: Settings): Finding[] {
  if (trustProxy.length === 0) {
    if (!production) return [ok(NAME, 'no proxy is trusted')];
    const detail = 'no proxy is trusted: behind a gateway, all callers count as its address and share its rate limits';
    return [warn(NAME, detail, 'Set TRUST_PROXY to the addresses of the gateway, as a CIDR list.')];
  }
  const findings = trustProxy.flatMap(block => {
    const { address, bits } = readBlock(block);
    if (bits <= EVERYBODY_BITS) {
      const detail = `${block} is the whole internet: every caller can forge its address, so no rate limit holds`;
      return [fail(NAME, detail, 'Set TRUST_PROXY to the addresses of the gateway.')];
    }
    const isNarrow = bits > (isIPv6(address) ? WIDE_BITS.v6 : WIDE_BITS.v4);
    const isPrivate = PRIVATE.some(block => bits >= block.bits && block.contains(address));
    if (isNarrow || isPrivate) return [];
    const detail = `${block} is a large part of the internet: every caller from there can forge its address`;
    return [warn(NAME, detail, 'Set TRUST_PROXY to the addresses of the gateway.')];
  });
  return findings.length > 0 ? findings : [ok(NAME, `the gateway is at ${trustProxy.join(', ')}`)];
}

function readBlock(block: string): { address: string; bits: number } {
  const [address = '', prefix] = block.split('/');
  const bits = prefix === undefined ? (isIPv6(address) ? 128 : 32) : Number(prefix);
  const mapped = MAPPED.test(address) ? address.replace(MAPPED, '') : '';
  return isIPv4(mapped) && bits >= MAPPED_BITS ? { address: mapped, bits: bits - MAPPED_BITS } : { address, bits };
}
