import { BlockList, isIPv6 } from 'node:net';

/**
 * Makes a function that tells whether an address belongs to one of the blocks. IPv4 blocks also match IPv4-mapped IPv6
 * addresses. The address of a connection that was reset is `undefined`, and belongs to none.
 */
export function trustedProxies(blocks: string[]): (address: string | undefined) => boolean {
  const list = new BlockList();
  for (const block of blocks) {
    const [address = '', prefix] = block.split('/');
    const family = familyOf(address);
    list.addSubnet(address, prefix === undefined ? (family === 'ipv6' ? 128 : 32) : Number(prefix), family);
  }
  return address => address !== undefined && list.check(address, familyOf(address));
}

function familyOf(address: string): 'ipv4' | 'ipv6' {
  return isIPv6(address) ? 'ipv6' : 'ipv4';
}
