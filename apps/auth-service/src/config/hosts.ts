import { trustedProxies } from '@latchkey/service-kit';

const isLoopbackAddress = trustedProxies(['127.0.0.0/8', '::1']);

/** Whether a host is this machine: by name, by address, or a folder that holds a Unix socket. */
export function isLoopback(host: string): boolean {
  const bare = host.replace(/^\[|\]$/g, '');
  return bare === '' || bare.startsWith('/') || /(^|\.)localhost$/.test(bare) || isLoopbackAddress(bare);
}
