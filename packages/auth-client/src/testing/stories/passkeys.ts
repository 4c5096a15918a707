import assert from 'node:assert/strict';
import type { PasskeyRequestOptions, SignedIn } from '@latchkey/user-schema';
import { createVirtualAuthenticator, type Misconduct, type VirtualAuthenticator } from '../virtual-authenticator.js';
import {
  assertOneWins,
  claimsOf,
  dueFactor,
  newPerson,
  type Person,
  type Story,
  type StoryTarget,
  signUpEnrolled,
} from './target.js';

const REFUSED = { code: 'invalid_passkey' };
const MISCONDUCT: Record<string, Misconduct> = {
  'another relying party': { rpId: 'evil.example.com' },
  'a user who was not verified': { userVerified: false },
  'a user who was not present': { userPresent: false },
  'a challenge that was made up': { challenge: Buffer.from('made up').toString('base64url') },
  'client data of something else': { type: 'payment.get' },
  'a page in a frame of another origin': { crossOrigin: true },
};

type Owner = Person & { device: VirtualAuthenticator; signedIn: SignedIn; passkeyId: string; recoveryCodes: string[] };

/** Signs a new person up, who then adds a passkey. */
async function signUpWithDevice(target: StoryTarget, device = deviceOf(target)): Promise<Owner> {
  const { client } = target;
  const person = newPerson();
  const before = await client.signUp(person.credentials);
  const response = device.create(await client.passkeyOptions(before.token));
  const { id: passkeyId, recoveryCodes = [] } = await client.addPasskey(before.token, {
    response,
    name: 'Ada’s phone',
  });
  return { ...person, device, passkeyId, recoveryCodes, signedIn: await client.refresh(before.refreshToken) };
}

function deviceOf({ origin }: StoryTarget): VirtualAuthenticator {
  return createVirtualAuthenticator({ origin });
}

/** The stories of passkeys. */
export const passkeyStories: Record<string, Story> = {
  'a passkey is added, listed, renamed and removed': async target => {
    const { client } = target;
    const { credentials, passkeyId, recoveryCodes, signedIn, device } = await signUpWithDevice(target);
    assert.equal(new Set(recoveryCodes).size, 10, 'the first factor comes with recovery codes');
    assert.equal(claimsOf(signedIn).acr, 'aal2');
    const options = await client.passkeyOptions(signedIn.token);
    assert.equal(options.excludeCredentials.length, 1);
    const second = await client.addPasskey(signedIn.token, { response: device.create(options) });
    assert.equal(second.recoveryCodes, undefined);
    const { passkeys, recoveryCodesLeft } = await client.factors(signedIn.token);
    assert.equal(recoveryCodesLeft, 10);
    assert.deepEqual(
      passkeys.map(({ id, lastUsedAt, backedUp }) => ({ id, lastUsedAt, backedUp })),
      [passkeyId, second.id].map(id => ({ id, lastUsedAt: null, backedUp: true })),
    );
    assert.equal(passkeys[0]?.name, 'Ada’s phone');

    const renamed = await client.renamePasskey(signedIn.token, passkeyId, { name: 'Grace’s phone' });
    assert.deepEqual([renamed.id, renamed.name], [passkeyId, 'Grace’s phone']);
    const unknown = { code: 'not_found' };
    await assert.rejects(client.renamePasskey(signedIn.token, claimsOf(signedIn).sid, { name: 'x' }), unknown);
    await assert.rejects(client.removePasskey(signedIn.token, claimsOf(signedIn).sid), unknown);
    await client.removePasskey(signedIn.token, passkeyId);
    await dueFactor(client.signIn(credentials));
    await client.removePasskey(signedIn.token, second.id);
    assert.equal((await client.factors(signedIn.token)).recoveryCodesLeft, 0);
    await client.signIn(credentials);
  },

  'a passkey signs in without a username, as strongly as two factors': async target => {
    const { client } = target;
    const { device, signedIn } = await signUpWithDevice(target);
    const options = await client.passkeySignInOptions();
    assert.equal(options.allowCredentials?.length ?? 0, 0);
    const again = await client.signInWithPasskey({ response: device.get(options) });
    assert.deepEqual(again.user, signedIn.user);
    const { acr, amr, sid } = claimsOf(again);
    assert.deepEqual([acr, amr], ['aal2', ['swk', 'user', 'mfa']]);
    assert.notEqual(sid, claimsOf(signedIn).sid);
    const [passkey] = (await client.factors(again.token)).passkeys;
    assert.ok(Date.parse(passkey?.lastUsedAt ?? '') > 0);
    await client.passkeyOptions(again.token);
  },

  'a passkey is the second factor of a password': async target => {
    const { client } = target;
    const { credentials, device, signedIn } = await signUpWithDevice(target);
    const { challenge, methods } = await dueFactor(client.signIn(credentials));
    assert.deepEqual([...methods].sort(), ['passkey', 'recovery_code']);
    const options = await client.passkeySignInOptions({ challenge });
    assert.equal(options.allowCredentials?.length, 1);
    const complete = (passkey: ReturnType<typeof device.get>) => client.completeSignIn({ challenge, passkey });
    const other = await dueFactor(client.signIn(credentials));
    const ofOther = device.get(await client.passkeySignInOptions({ challenge: other.challenge }));
    await assert.rejects(complete(ofOther), { code: 'invalid_second_factor' });
    const again = await complete(device.get(options));
    assert.deepEqual(again.user, signedIn.user);
    assert.equal(claimsOf(again).acr, 'aal2');
    await assert.rejects(client.passkeySignInOptions({ challenge: 'x' }), { code: 'invalid_challenge' });
  },

  'a sign-in does not go on when a passkey was added meanwhile': async target => {
    const { client } = target;
    const { credentials, recoveryCodes, signedIn } = await signUpWithDevice(target);
    const { challenge } = await dueFactor(client.signIn(credentials));
    const response = deviceOf(target).create(await client.passkeyOptions(signedIn.token));
    await client.addPasskey(signedIn.token, { response });
    const stale = client.completeSignIn({ challenge, recoveryCode: recoveryCodes[0] as string });
    await assert.rejects(stale, { code: 'invalid_challenge' });
  },

  'a passkey steps a session up': async target => {
    const { client } = target;
    const { credentials } = newPerson();
    const [strong, weak] = [await client.signUp(credentials), await client.signIn(credentials)];
    const device = deviceOf(target);
    const response = device.create(await client.passkeyOptions(strong.token));
    await client.addPasskey(strong.token, { response });
    const passkey = device.get(await client.stepUpPasskeyOptions(weak.token));
    const ofOther = client.stepUp(strong.token, { passkey });
    await assert.rejects(ofOther, { code: 'invalid_second_factor' }, 'in the session that it is for');
    const stronger = claimsOf(await client.stepUp(weak.token, { passkey }));
    assert.deepEqual([stronger.sid, stronger.acr], [claimsOf(weak).sid, 'aal2']);
    assert.ok(stronger.amr?.includes('pwd') && stronger.amr.includes('swk'));
  },

  'of several uses of an assertion one succeeds': async target => {
    const { client } = target;
    const { device } = await signUpWithDevice(target);
    const response = device.get(await client.passkeySignInOptions());
    await assertOneWins(
      Array.from({ length: 5 }, () => client.signInWithPasskey({ response })),
      REFUSED.code,
    );
  },

  'a passkey is refused for what the user did not agree to': async target => {
    const { client } = target;
    const { credentials, device } = await signUpWithDevice(target);
    for (const [name, misconduct] of Object.entries(MISCONDUCT)) {
      const response = device.get(await client.passkeySignInOptions(), misconduct);
      await assert.rejects(client.signInWithPasskey({ response }), REFUSED, name);
    }
    const { challenge } = await dueFactor(client.signIn(credentials));
    const otherwise = device.get(await client.passkeySignInOptions({ challenge }));
    await assert.rejects(client.signInWithPasskey({ response: otherwise }), REFUSED, 'a challenge for something else');
    const signed = device.get(await client.passkeySignInOptions());
    const { response: ofOther } = device.get(await client.passkeySignInOptions());
    const forged = { ...signed, response: { ...signed.response, signature: ofOther.signature } };
    await assert.rejects(client.signInWithPasskey({ response: forged }), REFUSED, 'another signature');
    await client.signInWithPasskey({ response: signed });
  },

  'a passkey of another account is refused': async target => {
    const { client } = target;
    const [ada, eve] = [await signUpWithDevice(target), await signUpWithDevice(target)];
    const { challenge } = await dueFactor(client.signIn(ada.credentials));
    const options = await client.passkeySignInOptions({ challenge });
    const { allowCredentials: _, ...anyOptions } = options as PasskeyRequestOptions;
    const passkey = eve.device.get(anyOptions);
    await assert.rejects(client.completeSignIn({ challenge, passkey }), { code: 'invalid_second_factor' });
    const adas = ada.device.get(await client.passkeySignInOptions()).response.userHandle as string;
    const response = eve.device.get(await client.passkeySignInOptions(), { userHandle: adas });
    await assert.rejects(client.signInWithPasskey({ response }), REFUSED);
    await assert.rejects(client.renamePasskey(eve.signedIn.token, ada.passkeyId, { name: 'x' }), { code: 'not_found' });
  },

  'a counter that goes back is refused': async target => {
    const { client, origin } = target;
    const { device } = await signUpWithDevice(target, createVirtualAuthenticator({ origin, counts: true }));
    const use = async (misconduct: Misconduct = {}) =>
      client.signInWithPasskey({ response: device.get(await client.passkeySignInOptions(), misconduct) });
    await use();
    await use();
    for (const signCount of [0, 1, 2]) await assert.rejects(use({ signCount }), REFUSED, `${signCount}`);
    await use({ signCount: 100 });
  },

  'a passkey is added as its options say, in the session that they are for': async target => {
    const { client, origin } = target;
    const { credentials } = newPerson();
    const { token } = await client.signUp(credentials);
    const add = async (misconduct: Misconduct, device = deviceOf(target)) =>
      client.addPasskey(token, { response: device.create(await client.passkeyOptions(token), misconduct) });
    for (const [name, misconduct] of Object.entries(MISCONDUCT)) await assert.rejects(add(misconduct), REFUSED, name);
    const unknown = createVirtualAuthenticator({ origin, algorithm: 'ES384' });
    await assert.rejects(add({}, unknown), REFUSED, 'an algorithm that was not offered');
    const other = await client.signIn(credentials);
    const elsewhere = deviceOf(target).create(await client.passkeyOptions(other.token));
    await assert.rejects(client.addPasskey(token, { response: elsewhere }), REFUSED, 'another session');
    assert.deepEqual((await client.factors(token)).passkeys, []);
    for (const algorithm of ['ES256', 'EdDSA', 'RS256'] as const) {
      const device = createVirtualAuthenticator({ origin, algorithm });
      const { signedIn } = await signUpWithDevice(target, device);
      const again = await client.signInWithPasskey({ response: device.get(await client.passkeySignInOptions()) });
      assert.deepEqual(again.user, signedIn.user, algorithm);
    }
  },

  'a passkey is added and removed only with as much proof as the account can give': async target => {
    const { client } = target;
    const { credentials } = newPerson();
    const [first, weak] = [await client.signUp(credentials), await client.signIn(credentials)];
    const device = deviceOf(target);
    const response = device.create(await client.passkeyOptions(weak.token));
    const added = await client.addPasskey(first.token, {
      response: device.create(await client.passkeyOptions(first.token)),
    });
    const expected = { code: 'insufficient_user_authentication', acr: 'aal2', maxAgeS: 600 };
    await assert.rejects(client.passkeyOptions(weak.token), expected);
    await assert.rejects(client.addPasskey(weak.token, { response }), expected, 'nor one that was begun before');
    await assert.rejects(client.removePasskey(weak.token, added.id), expected);
    await client.renamePasskey(weak.token, added.id, { name: 'A phone' });
  },

  'an account is made with a passkey alone, which cannot be removed': async target => {
    const { client } = target;
    const { credentials, email } = newPerson();
    const { username } = credentials;
    const device = deviceOf(target);
    const options = await client.passkeySignUpOptions({ username, email });
    await assert.rejects(client.signIn(credentials), { code: 'invalid_credentials' });
    const response = device.create(options);
    const signedUp = await client.signUpWithPasskey({ response, name: 'Ada’s phone' });
    assert.equal(signedUp.user.username, username);
    assert.equal(claimsOf(signedUp).acr, 'aal2');
    await client.verifyEmail(await target.mailbox.next(email));
    const { password, passkeys } = await client.factors(signedUp.token);
    assert.deepEqual([password, passkeys[0]?.name], [false, 'Ada’s phone']);
    const [passkey] = passkeys;
    const remove = client.removePasskey(signedUp.token, passkey?.id as string);
    await assert.rejects(remove, { code: 'last_credential' });
    const again = await client.signInWithPasskey({ response: device.get(await client.passkeySignInOptions()) });
    assert.equal(again.user.id, signedUp.user.id);
    await assert.rejects(client.signUpWithPasskey({ response }), (error: { code: string }) =>
      ['invalid_passkey', 'username_taken'].includes(error.code),
    );
    await assert.rejects(client.signIn(credentials), { code: 'invalid_credentials' });
  },

  'an account without a password sets its first one, and can then remove its passkey': async target => {
    const { client } = target;
    const { credentials } = newPerson();
    const device = deviceOf(target);
    const response = device.create(await client.passkeySignUpOptions({ username: credentials.username }));
    const { token } = await client.signUpWithPasskey({ response });
    const guess = client.changePassword(token, { currentPassword: 'a guess', newPassword: credentials.password });
    await assert.rejects(guess, { code: 'invalid_credentials' });
    await client.changePassword(token, { newPassword: credentials.password });
    const again = client.changePassword(token, { newPassword: `${credentials.password} 2` });
    await assert.rejects(again, { code: 'invalid_request' }, 'the next one needs the one before');
    await dueFactor(client.signIn(credentials));
    const [passkey] = (await client.factors(token)).passkeys;
    await client.removePasskey(token, passkey?.id as string);
    await client.signIn(credentials);
  },

  'of two who sign up with one name the first gets it': async target => {
    const { client } = target;
    const { username } = newPerson().credentials;
    const [first, second] = [deviceOf(target), deviceOf(target)];
    const responses = [
      first.create(await client.passkeySignUpOptions({ username })),
      second.create(await client.passkeySignUpOptions({ username: username.toUpperCase() })),
    ];
    const requests = responses.map(response => client.signUpWithPasskey({ response }));
    await assertOneWins(requests, 'username_taken');
  },

  'an account with an app and a passkey signs in with either': async target => {
    const { client, totpCode } = target;
    const { credentials, secret, signedIn } = await signUpEnrolled(target);
    const device = deviceOf(target);
    const added = await client.addPasskey(signedIn.token, {
      response: device.create(await client.passkeyOptions(signedIn.token)),
    });
    assert.equal(added.recoveryCodes, undefined);
    const { challenge, methods } = await dueFactor(client.signIn(credentials));
    assert.deepEqual([...methods].sort(), ['passkey', 'recovery_code', 'totp']);
    await client.completeSignIn({ challenge, totp: await totpCode(secret) });
    await client.removeTotp(signedIn.token);
    assert.equal((await client.factors(signedIn.token)).recoveryCodesLeft, 10, 'the passkey is left');
    const next = await dueFactor(client.signIn(credentials));
    assert.deepEqual([...next.methods].sort(), ['passkey', 'recovery_code']);
  },
};
