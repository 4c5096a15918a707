import assert from 'node:assert/strict';
import {
  assertOneWins,
  claimsOf,
  dueFactor,
  enrol,
  linkFor,
  newPerson,
  problemOf,
  resetLinkFor,
  type Story,
  signUpEnrolled,
  signUpVerified,
} from './target.js';

const NEW_PASSWORD = 'brand new and 42 long';
const WRONG_CODE = { code: 'invalid_second_factor' };
const WEAK = { code: 'insufficient_user_authentication' };

/** The stories of authenticator apps, recovery codes and step-ups. */
export const factorStories: Record<string, Story> = {
  'an authenticator app is enrolled, and from then on asked for': async target => {
    const { client, totpCode } = target;
    const { credentials } = newPerson();
    const signedUp = await client.signUp(credentials);
    const none = { password: true, totp: null, recoveryCodesLeft: 0, passkeys: [] };
    assert.deepEqual(await client.factors(signedUp.token), none);
    const { secret, uri, qrCode } = await client.startTotp(signedUp.token);
    assert.match(uri, /^otpauth:\/\/totp\//);
    assert.equal(new URL(uri).searchParams.get('secret'), secret);
    assert.match(qrCode, /^<svg /);
    assert.deepEqual(await client.factors(signedUp.token), none, 'nothing counts until it is confirmed');
    await client.signIn(credentials);

    const { recoveryCodes } = await client.confirmTotp(signedUp.token, { totp: await totpCode(secret) });
    assert.equal(new Set(recoveryCodes).size, 10);
    const { totp, recoveryCodesLeft } = await client.factors(signedUp.token);
    assert.ok(Date.parse(totp?.createdAt ?? '') <= Date.now() + 60_000);
    assert.equal(recoveryCodesLeft, 10);
    const { acr, amr, auth_time: authTime } = claimsOf(await client.refresh(signedUp.refreshToken));
    assert.deepEqual([acr, amr?.includes('mfa')], ['aal2', true], 'the session has proved it');
    assert.equal(authTime, claimsOf(signedUp).auth_time);

    const due = await dueFactor(client.signIn(credentials));
    assert.deepEqual([due.problem.status, due.expiresIn], [401, 300]);
    assert.deepEqual([...due.methods].sort(), ['recovery_code', 'totp']);
    const signedIn = await client.completeSignIn({ challenge: due.challenge, totp: await totpCode(secret) });
    assert.deepEqual(signedIn.user, signedUp.user);
    assert.deepEqual([...(claimsOf(signedIn).amr ?? [])].sort(), ['mfa', 'otp', 'pwd']);
    assert.equal(claimsOf(signedIn).acr, 'aal2');
  },

  'an app is confirmed by a code of its secret only': async target => {
    const { client, totpCode } = target;
    const { token } = await client.signUp(newPerson().credentials);
    await assert.rejects(client.confirmTotp(token, { totp: '000000' }), { code: 'not_found' });
    const replaced = await client.startTotp(token);
    const { secret } = await client.startTotp(token);
    const stale = { totp: await totpCode(replaced.secret) };
    await assert.rejects(client.confirmTotp(token, stale), WRONG_CODE);
    await client.confirmTotp(token, { totp: await totpCode(secret) });
    const next = { totp: await totpCode(secret) };
    await assert.rejects(client.confirmTotp(token, next), { code: 'not_found' }, 'it is confirmed once');
  },

  'a code is good for one use': async target => {
    const { client, totpCode } = target;
    const { credentials, secret, signedIn } = await signUpEnrolled(target);
    const { challenge } = await dueFactor(client.signIn(credentials));
    const totp = await totpCode(secret);
    await client.completeSignIn({ challenge, totp });
    const again = await dueFactor(client.signIn(credentials));
    await assert.rejects(client.completeSignIn({ challenge: again.challenge, totp }), WRONG_CODE);
    await assert.rejects(client.stepUp(signedIn.token, { totp }), WRONG_CODE);
  },

  'of several uses of a code one succeeds': async target => {
    const { client, totpCode } = target;
    const { credentials, secret } = await signUpEnrolled(target);
    const totp = await totpCode(secret);
    const due = [];
    for (let i = 0; i < 4; i++) due.push(await dueFactor(client.signIn(credentials)));
    const requests = due.map(({ challenge }) => client.completeSignIn({ challenge, totp }));
    await assertOneWins(requests, 'invalid_second_factor');
  },

  'a challenge is good for one sign-in': async target => {
    const { client, totpCode } = target;
    const { credentials, recoveryCodes, secret } = await signUpEnrolled(target);
    const [first = '', second = ''] = recoveryCodes;
    const { challenge } = await dueFactor(client.signIn(credentials));
    await assert.rejects(client.completeSignIn({ challenge, recoveryCode: 'no such code' }), WRONG_CODE);
    await client.completeSignIn({ challenge, totp: await totpCode(secret) });
    const invalid = { code: 'invalid_challenge' };
    await assert.rejects(client.completeSignIn({ challenge, recoveryCode: first }), invalid);
    for (const madeUp of ['', 'x', challenge.slice(0, -4), challenge.replace(/^./, '_')]) {
      await assert.rejects(client.completeSignIn({ challenge: madeUp, recoveryCode: first }), invalid, madeUp);
    }
    const next = await dueFactor(client.signIn(credentials));
    await client.completeSignIn({ challenge: next.challenge, recoveryCode: first });
    const last = await dueFactor(client.signIn(credentials));
    await client.completeSignIn({ challenge: last.challenge, recoveryCode: second });
  },

  'a sign-in does not go on when the password was changed meanwhile': async target => {
    const { client } = target;
    const { credentials, recoveryCodes, signedIn } = await signUpEnrolled(target);
    const { challenge } = await dueFactor(client.signIn(credentials));
    const change = { currentPassword: credentials.password, newPassword: NEW_PASSWORD };
    await client.changePassword(signedIn.token, change);
    const stale = client.completeSignIn({ challenge, recoveryCode: recoveryCodes[0] as string });
    await assert.rejects(stale, { code: 'invalid_challenge' });
  },

  'a proof is one of three, and sent with its challenge': async ({ post }) => {
    for (const body of [
      {},
      { totp: '123456' },
      { challenge: 'x' },
      { challenge: 'x', totp: '12345' },
      { challenge: 'x', totp: '123456', recoveryCode: 'x' },
      { challenge: 'x', password: 'x' },
    ]) {
      const response = await post('/auth/sign-in/second-factor', body);
      const { code } = (await response.json()) as { code: string };
      assert.deepEqual([response.status, code], [400, 'invalid_request'], JSON.stringify(body));
    }
  },

  'a recovery code stands in for the app, once': async target => {
    const { client } = target;
    const { credentials, recoveryCodes, signedIn } = await signUpEnrolled(target);
    const [code = '', other = ''] = recoveryCodes;
    assert.match(code, /^[0-9A-Z]{4}(-[0-9A-Z]{4}){5}$/);
    const { challenge } = await dueFactor(client.signIn(credentials));
    const typed = ` ${code.toLowerCase().replaceAll('-', ' ')} `;
    const recovered = await client.completeSignIn({ challenge, recoveryCode: typed });
    assert.equal(claimsOf(recovered).acr, 'aal2');
    assert.equal((await client.factors(recovered.token)).recoveryCodesLeft, 9);
    const again = await dueFactor(client.signIn(credentials));
    const reuse = client.completeSignIn({ challenge: again.challenge, recoveryCode: code });
    await assert.rejects(reuse, WRONG_CODE);

    const replaced = await client.makeRecoveryCodes(signedIn.token);
    assert.equal(new Set([...replaced.recoveryCodes, ...recoveryCodes]).size, 20);
    assert.equal((await client.factors(signedIn.token)).recoveryCodesLeft, 10);
    await assert.rejects(client.stepUp(signedIn.token, { recoveryCode: other }), WRONG_CODE, 'the old ones are void');
    await client.stepUp(signedIn.token, { recoveryCode: replaced.recoveryCodes[0] as string });
  },

  'without the app a password signs in, and the codes are void': async target => {
    const { client } = target;
    const { credentials, signedIn } = await signUpEnrolled(target);
    await client.removeTotp(signedIn.token);
    const { totp, recoveryCodesLeft } = await client.factors(signedIn.token);
    assert.deepEqual([totp, recoveryCodesLeft], [null, 0]);
    assert.equal(claimsOf(await client.signIn(credentials)).acr, 'aal1');
  },

  'an app is replaced by another one': async target => {
    const { client, totpCode } = target;
    const first = await signUpEnrolled(target);
    const second = await enrol(target, first, first.signedIn);
    const signIn = async (proof: { totp: string } | { recoveryCode: string }) =>
      client.completeSignIn({ challenge: (await dueFactor(client.signIn(first.credentials))).challenge, ...proof });
    await assert.rejects(signIn({ totp: await totpCode(first.secret) }), WRONG_CODE);
    await assert.rejects(signIn({ recoveryCode: first.recoveryCodes[0] as string }), WRONG_CODE);
    await signIn({ totp: await totpCode(second.secret) });
  },

  'a change of factors needs as much proof as the account can give, not long ago': async target => {
    const { client, signInLongAgo, totpCode } = target;
    const { credentials } = newPerson();
    await client.signUp(credentials);
    const stale = await signInLongAgo(credentials);
    const old = await client.refresh(stale.refreshToken);
    const { code, maxAgeS, acr } = (await client.startTotp(old.token).catch(error => error)) as typeof WEAK & {
      maxAgeS: number;
      acr: string;
    };
    assert.deepEqual([code, maxAgeS, acr], [WEAK.code, 600, 'aal1']);
    const young = await client.stepUp(old.token, { password: credentials.password });
    const weak = await client.signIn(credentials);
    const { secret } = await enrolIn(target, young.token);

    for (const change of [
      () => client.removeTotp(weak.token),
      () => client.makeRecoveryCodes(weak.token),
      () => client.startTotp(weak.token),
      () => client.setEmail(weak.token, { email: newPerson().email }),
    ]) {
      await assert.rejects(change(), { ...WEAK, maxAgeS: 600, acr: 'aal2' });
    }
    assert.ok((await client.factors(weak.token)).totp, 'they may be read');
    const strong = await client.stepUp(weak.token, { totp: await totpCode(secret) });
    await client.removeTotp(strong.token);
  },

  'a step-up continues the session with a younger and stronger sign-in': async target => {
    const { client, signInLongAgo, totpCode } = target;
    const { credentials } = newPerson();
    await client.signUp(credentials);
    const old = await signInLongAgo(credentials);
    await assert.rejects(client.stepUp(old.token, { password: 'wrong' }), { code: 'invalid_credentials' });
    const young = await client.stepUp(old.token, { password: credentials.password });
    const [before, after] = [claimsOf(old), claimsOf(young)];
    assert.equal(after.sid, before.sid);
    assert.deepEqual([after.acr, after.amr], ['aal1', ['pwd']]);
    assert.ok(Number(after.auth_time) > Date.now() / 1000 - 300);
    assert.equal((await client.refresh(old.refreshToken)).refreshToken, young.refreshToken, 'as after a refresh');

    const weak = await client.signIn(credentials);
    const { secret } = await enrolIn(target, young.token);
    const strong = await client.stepUp(weak.token, { totp: await totpCode(secret) });
    assert.equal(claimsOf(strong).sid, claimsOf(weak).sid);
    assert.deepEqual([...(claimsOf(strong).amr ?? [])].sort(), ['mfa', 'otp', 'pwd']);
    const { acr, amr, auth_time: authTime } = claimsOf(await client.refresh(strong.refreshToken));
    const { acr: acrBefore, amr: amrBefore, auth_time: authTimeBefore } = claimsOf(strong);
    assert.deepEqual([acr, amr, authTime], [acrBefore, amrBefore, authTimeBefore], 'a refresh keeps them');
    const byPassword = client.stepUp(strong.token, { password: credentials.password });
    await assert.rejects(byPassword, { ...WEAK, acr: 'aal2' }, 'a password is not enough any more');
  },

  'a gateway demands what it needs': async target => {
    const { client, get, totpCode } = target;
    const { credentials } = newPerson();
    const weak = await client.signUp(credentials);
    const verify = (query: string, token = weak.token) => get(`/auth/verify${query}`, token);
    const plain = await verify('');
    assert.deepEqual([plain.status, plain.headers.get('x-auth-acr')], [200, 'aal1']);
    assert.equal((await verify('?acr=aal1&max_age=600')).status, 200);
    const refused = await verify('?acr=aal2&max_age=600');
    assert.equal(refused.status, 401);
    assert.equal(((await refused.json()) as typeof WEAK).code, WEAK.code);
    const challenge = 'Bearer error="insufficient_user_authentication", acr_values="aal2", max_age=600';
    assert.equal(refused.headers.get('www-authenticate'), challenge);
    for (const query of ['?acr=aal3', '?max_age=-1', '?max_age=x', '?role']) {
      assert.equal((await verify(query)).status, 400, query);
    }

    const { secret } = await enrolIn(target, weak.token);
    const strong = await client.stepUp(weak.token, { totp: await totpCode(secret) });
    const accepted = await verify('?acr=aal2&max_age=600', strong.token);
    assert.deepEqual([accepted.status, accepted.headers.get('x-auth-acr')], [200, 'aal2']);
  },

  'a forgotten password does not take the second factor away': async target => {
    const { client, totpCode } = target;
    const { signedIn, ...person } = await signUpVerified(target);
    const { email, credentials, secret } = await enrol(target, person, signedIn);
    await client.resetPassword({ ...(await resetLinkFor(target, email)), newPassword: NEW_PASSWORD });
    const { challenge } = await dueFactor(client.signIn({ ...credentials, password: NEW_PASSWORD }));
    await client.completeSignIn({ challenge, totp: await totpCode(secret) });
  },

  'a password that is changed makes the proof of a second factor no younger': async target => {
    const { client, totpCode } = target;
    const { credentials, secret } = await signUpEnrolled(target);
    const { challenge } = await dueFactor(client.signIn(credentials));
    const signedIn = await client.completeSignIn({ challenge, totp: await totpCode(secret) });
    const change = { currentPassword: credentials.password, newPassword: NEW_PASSWORD };
    const changed = claimsOf(await client.changePassword(signedIn.token, change));
    const { amr, acr, auth_time: authTime } = claimsOf(signedIn);
    assert.deepEqual([changed.amr, changed.acr, changed.auth_time], [amr, acr, authTime]);
  },
};

/** The stories of what a change of the factors of an account brings about elsewhere. */
export const factorChangeStories: Record<string, Story> = {
  'recovery codes stand for a factor that the account has': async target => {
    const { client } = target;
    const { token } = await client.signUp(newPerson().credentials);
    await assert.rejects(client.makeRecoveryCodes(token), { code: 'not_found' });
    assert.equal((await client.factors(token)).recoveryCodesLeft, 0);
  },

  'a session that has not proved the first factor adds none': async target => {
    const { client, totpCode } = target;
    const { credentials } = newPerson();
    const [ada, thief] = [await client.signUp(credentials), await client.signIn(credentials)];
    await enrolIn(target, ada.token);
    const { secret } = await client.startTotp((await client.refresh(ada.refreshToken)).token);
    const totp = await totpCode(secret);
    await assert.rejects(client.confirmTotp(thief.token, { totp }), { ...WEAK, acr: 'aal2' });
  },

  'a sign-up that is sent again asks for the factor': async ({ client, totpCode }) => {
    const { credentials } = newPerson();
    const idempotencyKey = credentials.username;
    const { token } = await client.signUp(credentials, { idempotencyKey });
    const { secret } = await client.startTotp(token);
    await client.confirmTotp(token, { totp: await totpCode(secret) });
    await dueFactor(client.signUp(credentials, { idempotencyKey }));
  },

  'a session whose account has no factor any more is one of the password when that is proved': async target => {
    const { client } = target;
    const { credentials, signedIn } = await signUpEnrolled(target);
    await client.removeTotp(signedIn.token);
    const { acr, amr } = claimsOf(await client.stepUp(signedIn.token, { password: credentials.password }));
    assert.deepEqual([acr, amr], ['aal1', ['pwd']]);
  },

  'a session is trusted no longer than the factors that it has proved are there': async target => {
    const { client, totpCode } = target;
    const { credentials } = newPerson();
    const mine = await client.signUp(credentials);
    const other = await client.signIn(credentials);
    const { secret } = await enrolIn(target, other.token);
    const strong = await client.refresh(other.refreshToken);
    assert.equal(claimsOf(strong).acr, 'aal2');
    await client.removeTotp(strong.token);
    const weakened = await client.refresh(strong.refreshToken);
    const { acr, amr, auth_time: authTime } = claimsOf(weakened);
    assert.deepEqual([acr, amr, authTime], ['aal1', ['pwd'], claimsOf(strong).auth_time]);

    await enrolIn(target, mine.token);
    for (const { token } of [strong, weakened]) {
      await assert.rejects(client.startTotp(token), { ...WEAK, acr: 'aal2' }, 'nor does its token of before do');
      await assert.rejects(client.stepUp(token, { totp: await totpCode(secret) }), WRONG_CODE, 'nor the removed app');
    }
  },

  'a password alone changes no password of an account with a factor': async target => {
    const { client } = target;
    const { credentials } = newPerson();
    const weak = await client.signUp(credentials);
    const other = await client.signIn(credentials);
    await enrolIn(target, other.token);
    const change = { currentPassword: credentials.password, newPassword: NEW_PASSWORD };
    await assert.rejects(client.changePassword(weak.token, change), { ...WEAK, acr: 'aal2', maxAgeS: undefined });
    await client.changePassword((await client.refresh(other.refreshToken)).token, change);
  },

  'a change of the address that a password alone has requested is void with the first factor': async target => {
    const { client } = target;
    const { credentials, email, signedIn } = await signUpVerified(target);
    const thief = await client.signIn(credentials);
    const { email: foreign } = newPerson();
    await client.setEmail(thief.token, { email: foreign });
    const link = await linkFor(target, foreign);
    await enrolIn(target, signedIn.token);
    await assert.rejects(client.verifyEmail(link), { code: 'invalid_one_time_token' });
    assert.equal((await client.getEmail(signedIn.token)).email, email);

    const fresh = newPerson();
    const { token } = await client.signUp({ ...fresh.credentials, email: fresh.email });
    await enrolIn(target, token);
    await client.verifyEmail(await linkFor(target, fresh.email));
  },

  'the owner is told of each change, and of each recovery code that is used': async target => {
    const { client, mailbox } = target;
    const { signedIn, ...person } = await signUpVerified(target);
    const { email, recoveryCodes, signedIn: strong } = await enrol(target, person, signedIn);
    const isTold = async (template: Parameters<typeof mailbox.next>[1]) =>
      assert.ok(await mailbox.next(email, template));
    await isTold({ template: 'totp-added' });
    const { token } = await client.stepUp(strong.token, { recoveryCode: recoveryCodes[0] as string });
    await isTold({ template: 'recovery-code-used' });
    await client.makeRecoveryCodes(token);
    await isTold({ template: 'recovery-codes-made' });
    await client.removeTotp(token);
    await isTold({ template: 'totp-removed' });
  },
};

/** The stories of `SECOND_FACTOR=required`. */
export const requiredFactorStories: Record<string, Story> = {
  'who has no second factor may only add one': async target => {
    const { client, get, totpCode } = target;
    const { credentials, email } = newPerson();
    const weak = await client.signUp(credentials);
    const refused = [
      () => client.me(weak.token),
      () => client.sessions(weak.token),
      () => client.getEmail(weak.token),
      () => client.setEmail(weak.token, { email }),
      () => client.makeRecoveryCodes(weak.token),
      () => client.changePassword(weak.token, { currentPassword: credentials.password, newPassword: NEW_PASSWORD }),
    ];
    for (const request of refused) await assert.rejects(request(), { ...WEAK, acr: 'aal2' }, `${request}`);
    assert.equal((await get('/auth/verify', weak.token)).status, 401);

    assert.equal((await client.factors(weak.token)).totp, null);
    const { secret } = await client.startTotp(weak.token);
    await client.confirmTotp(weak.token, { totp: await totpCode(secret) });
    await assert.rejects(client.me(weak.token), { ...WEAK, acr: 'aal2' }, 'the token is still the old one');
    const strong = await client.refresh(weak.refreshToken);
    assert.deepEqual(await client.me(strong.token), strong.user);
    assert.equal((await get('/auth/verify', strong.token)).status, 200);
    await client.removeTotp(strong.token);
    const { code } = await problemOf(client.me((await client.signIn(credentials)).token));
    assert.equal(code, WEAK.code);
  },

  'who has no second factor may step up and sign out': async ({ client }) => {
    const { credentials } = newPerson();
    const weak = await client.signUp(credentials);
    const { token } = await client.stepUp(weak.token, { password: credentials.password });
    await client.signOut(token);
  },
};

async function enrolIn(target: Parameters<Story>[0], token: string): Promise<{ secret: string }> {
  const { secret } = await target.client.startTotp(token);
  await target.client.confirmTotp(token, { totp: await target.totpCode(secret) });
  return { secret };
}
