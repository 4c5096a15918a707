import assert from 'node:assert/strict';
import { assertOneWins, linkFor, newPerson, problemOf, type Story, signUpVerified } from './target.js';

const NO_ADDRESSES = [
  '',
  'ada',
  '@example.com',
  'ada@',
  'ada@example.com\r\nbcc: eve@example.com',
  'ada@example.com\n',
  'ada@example.com,eve@example.com',
  'Ada <ada@example.com>',
  'ada lovelace@example.com',
  'ada\0@example.com',
  'ada@eve@example.com',
  `${'a'.repeat(243)}@example.com`,
];

/** The stories of e-mail addresses. */
export const addressStories: Record<string, Story> = {
  'an address is verified by the link that is mailed to it': async target => {
    const { client, mailbox } = target;
    const { credentials, email } = newPerson();
    const { token, user, refreshToken } = await client.signUp({ ...credentials, email });
    assert.equal(user.email, null);
    const { pending, email: verified } = await client.getEmail(token);
    assert.deepEqual([verified, pending?.email], [null, email]);
    assert.ok(Date.parse(pending?.expiresAt ?? '') > Date.now());
    await assert.rejects(client.signIn({ ...credentials, username: email }), { code: 'invalid_credentials' });

    const mail = await mailbox.next(email);
    assert.deepEqual([mail.template, mail.to], ['verify-email', email]);
    assert.ok(mail.link.endsWith(`/verify-email#token=${mail.token}`), mail.link);
    await client.verifyEmail({ token: mail.token });
    assert.deepEqual(await client.getEmail(token), { email, pending: null });
    assert.deepEqual(await client.me(token), { ...user, email });
    assert.deepEqual((await client.refresh(refreshToken)).user, { ...user, email });
    const signedIn = await client.signIn({ ...credentials, username: email.toUpperCase() });
    assert.deepEqual(signedIn.user, { ...user, email });
    await assert.rejects(client.verifyEmail({ token: mail.token }), { code: 'invalid_one_time_token' });
  },

  'an address is changed by the link to the new one, and the old one is told': async target => {
    const { client, mailbox } = target;
    const { credentials, email, signedIn } = await signUpVerified(target);
    const { token, user } = signedIn;
    const { email: newEmail } = newPerson();
    await client.setEmail(token, { email: newEmail });
    await mailbox.next(email, { template: 'email-change-requested' });
    assert.deepEqual(await client.me(token), user, 'nothing changes until the link is used');
    assert.equal((await client.getEmail(token)).pending?.email, newEmail);
    assert.deepEqual((await client.signIn({ ...credentials, username: email })).user, user);

    await client.verifyEmail(await linkFor(target, newEmail));
    assert.deepEqual(await client.getEmail(token), { email: newEmail, pending: null });
    await assert.rejects(client.signIn({ ...credentials, username: email }), { code: 'invalid_credentials' });
    assert.equal((await client.signIn({ ...credentials, username: newEmail })).user.id, user.id);
  },

  'the newest link of an account is the only one': async target => {
    const { client } = target;
    const [{ credentials, email }, { email: other }] = [newPerson(), newPerson()];
    const { token } = await client.signUp(credentials);
    assert.deepEqual(await client.getEmail(token), { email: null, pending: null });
    await client.setEmail(token, { email });
    const replaced = await linkFor(target, email);
    await client.setEmail(token, { email: other });
    await assert.rejects(client.verifyEmail(replaced), { code: 'invalid_one_time_token' });
    await client.verifyEmail(await linkFor(target, other));
    assert.equal((await client.me(token)).email, other);
  },

  'an address belongs to the account that verifies it first': async target => {
    const { client } = target;
    const [first, second] = [newPerson(), newPerson()];
    const late = await client.signUp({ ...first.credentials, email: first.email });
    const lateLink = await linkFor(target, first.email);
    const email = first.email.toUpperCase();
    const early = await client.signUp({ ...second.credentials, email });
    await client.verifyEmail(await linkFor(target, email));
    const { code, status } = await problemOf(client.verifyEmail(lateLink));
    assert.deepEqual([code, status], ['email_taken', 409]);
    assert.equal((await client.me(late.token)).email, null);
    assert.equal((await client.me(early.token)).email, email, 'it is kept as typed');
    const signedIn = await client.signIn({ ...second.credentials, username: first.email });
    assert.equal(signedIn.user.id, early.user.id);
  },

  'a username takes precedence over an address': async target => {
    const { client } = target;
    const { credentials, email, signedIn } = await signUpVerified(target);
    assert.equal((await client.signIn({ ...credentials, username: email })).user.id, signedIn.user.id);
    const namesake = { ...newPerson().credentials, username: email };
    const { user } = await client.signUp(namesake);
    assert.equal((await client.signIn(namesake)).user.id, user.id);
    await assert.rejects(client.signIn({ ...credentials, username: email }), { code: 'invalid_credentials' });
  },

  'an address that is removed is told, and free for others': async target => {
    const { client, mailbox } = target;
    const { credentials, email, signedIn } = await signUpVerified(target);
    await client.removeEmail(signedIn.token);
    await mailbox.next(email, { template: 'email-removed' });
    assert.deepEqual(await client.getEmail(signedIn.token), { email: null, pending: null });
    assert.deepEqual(await client.me(signedIn.token), { ...signedIn.user, email: null });
    await assert.rejects(client.signIn({ ...credentials, username: email }), { code: 'invalid_credentials' });
    const other = newPerson();
    const { token } = await client.signUp({ ...other.credentials, email });
    await client.verifyEmail(await linkFor(target, email));
    assert.equal((await client.me(token)).email, email, 'another account may verify it');
  },

  'an address that has not been verified is removed too': async target => {
    const { client } = target;
    const { credentials, email } = newPerson();
    const { token } = await client.signUp({ ...credentials, email });
    await client.removeEmail(token);
    assert.deepEqual(await client.getEmail(token), { email: null, pending: null });
    await assert.rejects(client.verifyEmail(await linkFor(target, email)), { code: 'invalid_one_time_token' });
  },

  'a change of the address needs a sign-in not long ago': async target => {
    const { client, signInLongAgo } = target;
    const { credentials, email, signedIn } = await signUpVerified(target);
    const stale = await signInLongAgo(credentials);
    const { token } = await client.refresh(stale.refreshToken);
    const expected = { code: 'insufficient_user_authentication', maxAgeS: 600, acr: 'aal1' };
    await assert.rejects(client.setEmail(token, { email: newPerson().email }), expected);
    await assert.rejects(client.removeEmail(token), expected);
    assert.deepEqual(await client.getEmail(token), { email, pending: null }, 'it may be read');
    await client.removeEmail(signedIn.token);
  },

  'what is no address is refused': async ({ client, post }) => {
    const { credentials } = newPerson();
    const { token } = await client.signUp(credentials);
    for (const email of NO_ADDRESSES) {
      const refused = { code: 'invalid_request' };
      await assert.rejects(client.setEmail(token, { email }), refused, email);
      await assert.rejects(client.requestPasswordReset({ email }), refused, email);
      await assert.rejects(client.signUp({ ...newPerson().credentials, email }), refused, email);
    }
    for (const [path, body] of [
      ['/auth/email/verify', { token: 1 }],
      ['/auth/email/verify', { token: 'x', more: 1 }],
      ['/auth/password/forgot', { email: null }],
      ['/auth/password/reset', { token: 'x' }],
    ] as const) {
      const response = await post(path, body);
      assert.equal(response.status, 400, path);
      assert.equal(((await response.json()) as { code: string }).code, 'invalid_request', path);
    }
    assert.deepEqual(await client.getEmail(token), { email: null, pending: null });
  },

  'of several uses of a link one succeeds': async target => {
    const { client } = target;
    const { credentials, email } = newPerson();
    await client.signUp({ ...credentials, email });
    const link = await linkFor(target, email);
    const requests = Array.from({ length: 10 }, () => client.verifyEmail(link));
    await assertOneWins(requests, 'invalid_one_time_token');
  },
};
