import type { Policy } from './limit.js';

/** `RateLimit-Policy` of draft-ietf-httpapi-ratelimit-headers-09: how much is allowed in how many seconds. */
export function rateLimitPolicy(policies: Policy[]): string {
  return policies.map(({ name, quota, windowS }) => `"${name}";q=${quota};w=${windowS}`).join(', ');
}

/** `RateLimit` of the same: how much is left, and in how many seconds there is all of it again. */
export function rateLimit({ name, quota }: Policy, left: number, resetS: number): string {
  return `"${name}";r=${left}${left < quota ? `;t=${resetS}` : ''}`;
}

/** Seconds until a time of `performance.now()`, never too few. */
export function secondsUntil(time: number): number {
  return Math.max(1, Math.ceil((time - performance.now()) / 1000));
}
