import { randomBytes } from 'node:crypto';
import type { Account } from './accounts.js';
import type { LinkTemplate } from './mailbox.js';

/** Whom a link is for: an account, or a sign-up that it completes. */
export type LinkOwner = Account | { signUp: { username: string; password: string } };

/** A link that was mailed, and its one-time token. */
export type Link<Owner extends LinkOwner = LinkOwner> = {
  template: LinkTemplate;
  token: string;
  owner: Owner;
  email: string;
  expiresAt: number;
};

/** The links of a test issuer that have not been used. */
export type Links = {
  /** Makes a link. That which the owner had for the same purpose is void. */
  add(template: LinkTemplate, owner: LinkOwner, email: string): Link;
  /** Finds a live link by its token; `undefined` when it is for another purpose, expired, used, replaced or made up. */
  find(template: LinkTemplate, token: string): Link | undefined;
  /** Finds the live link of an account. */
  findOf(template: LinkTemplate, account: Account): Link | undefined;
  remove(link: Link): void;
  /** Makes all links of an account void, as a change of its password or address does. */
  removeAllOf(account: Account): void;
};

export function createLinks(ttlS: number): Links {
  // One for each purpose and owner.
  const links = new Map<string, Link>();

  const keyOf = ({ template, owner, email }: Pick<Link, 'template' | 'owner' | 'email'>) =>
    `${template} ${'user' in owner ? owner.user.id : email.toLowerCase()}`;
  const isLive = ({ expiresAt }: Link) => expiresAt > Date.now();

  return {
    add(template, owner, email) {
      const token = randomBytes(32).toString('base64url');
      const link = { template, token, owner, email, expiresAt: Date.now() + ttlS * 1000 };
      links.set(keyOf(link), link);
      return link;
    },
    find: (template, token) =>
      [...links.values()].find(link => link.template === template && link.token === token && isLive(link)),
    findOf: (template, account) =>
      [...links.values()].find(link => link.template === template && link.owner === account && isLive(link)),
    remove: link => void links.delete(keyOf(link)),
    removeAllOf(account) {
      for (const [key, { owner }] of links) if (owner === account) links.delete(key);
    },
  };
}
