import type { Policy } from './limit.js';

/** `RateLimit-Policy` of draft-ietf-httpapi-ratelimit-headers-09: how much is allowed in how many seconds. */
export function rateLimitPolicy(policies: Policy[]): string {
  return policies.map(({ name, quota, windowS }) => `"${name}";q=${quota};w=${windowS}`).join(', ');
}

/** `RateLimit` of the same: how much is left, and for how many seconds. */
export function rateLimit({ name, quota }: Policy, left: number, seconds: number): string {
  return `"${name}";r=${left}${left < quota ? `;t=${wholeSeconds(seconds)}` : ''}`;
}

/** Seconds until a time of `performance.now()`. */
export function secondsUntil(time: number): number {
  return wholeSeconds((time - performance.now()) / 1000);
}

/** Never too few. */
function wholeSeconds(seconds: number): number {
  return Math.max(1, Math.ceil(seconds));
}
