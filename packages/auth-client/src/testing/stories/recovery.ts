import assert from 'node:assert/strict';
import {
  assertOneWins,
  describeResponse,
  linkFor,
  newPerson,
  problemOf,
  resetLinkFor,
  type Story,
  signUpVerified,
} from './target.js';

const NEW_PASSWORD = 'brand new and 42 long';

/** The stories of forgotten passwords. */
export const recoveryStories: Record<string, Story> = {
  'a forgotten password is replaced by a link, which ends all sessions': async target => {
    const { client, mailbox } = target;
    const { credentials, email, signedIn } = await signUpVerified(target);
    const other = await client.signIn(credentials);
    await client.requestPasswordReset({ email: email.toUpperCase() });
    const mail = await mailbox.next(email);
    assert.deepEqual([mail.template, mail.to], ['reset-password', email]);
    assert.ok(mail.link.endsWith(`/reset-password#token=${mail.token}`), mail.link);
    assert.equal(
      (await client.signIn(credentials)).user.id,
      signedIn.user.id,
      'nothing changes until the link is used',
    );

    assert.equal(await client.resetPassword({ token: mail.token, newPassword: NEW_PASSWORD }), undefined);
    for (const { token, refreshToken } of [signedIn, other]) {
      await assert.rejects(client.me(token), { code: 'invalid_token' });
      await assert.rejects(client.refresh(refreshToken), { code: 'invalid_refresh_token' });
    }
    await assert.rejects(client.signIn(credentials), { code: 'invalid_credentials' });
    const { user } = await client.signIn({ ...credentials, password: NEW_PASSWORD });
    assert.deepEqual(user, signedIn.user);
    await mailbox.next(email, { template: 'password-reset' });
    const again = client.resetPassword({ token: mail.token, newPassword: `${NEW_PASSWORD}er` });
    await assert.rejects(again, { code: 'invalid_one_time_token' });
  },

  'the link survives a password that is rejected': async target => {
    const { client } = target;
    const { credentials, email, signedIn } = await signUpVerified(target);
    const link = await resetLinkFor(target, email);
    const { code, errors } = await problemOf(client.resetPassword({ ...link, newPassword: 'short' }));
    assert.deepEqual(
      [code, errors?.[0]?.pointer, errors?.[0]?.reason],
      ['password_rejected', '/newPassword', 'too_short'],
    );
    assert.equal((await client.me(signedIn.token)).id, signedIn.user.id);
    await client.resetPassword({ ...link, newPassword: NEW_PASSWORD });
    await client.signIn({ ...credentials, password: NEW_PASSWORD });
  },

  'the newest reset link of an account is the only one': async target => {
    const { client } = target;
    const { email } = await signUpVerified(target);
    const replaced = await resetLinkFor(target, email);
    const link = await resetLinkFor(target, email);
    const reset = (one: { token: string }) => client.resetPassword({ ...one, newPassword: NEW_PASSWORD });
    await assert.rejects(reset(replaced), { code: 'invalid_one_time_token' });
    await assertOneWins(
      Array.from({ length: 5 }, () => reset(link)),
      'invalid_one_time_token',
    );
  },

  'a request for a reset does not tell whether the address is known': async target => {
    const { client, mailbox, post } = target;
    const known = await signUpVerified(target);
    const unverified = newPerson();
    await client.signUp({ ...unverified.credentials, email: unverified.email });
    const responses = [];
    for (const { email } of [known, unverified, newPerson()]) {
      responses.push(await describeResponse(await post('/auth/password/forgot', { email })));
    }
    for (const response of responses) assert.deepEqual(response, responses[0]);
    assert.equal(responses[0]?.[0], 202);
    await mailbox.next(known.email, { template: 'reset-password' });
    const nothing = mailbox.next(unverified.email, { template: 'reset-password', timeoutMs: 100 });
    await assert.rejects(nothing, Error, 'an address that nobody has verified gets no link');
  },

  'every token that is not valid gets the same response': async target => {
    const { client } = target;
    const { email, signedIn } = await signUpVerified(target);
    const { email: newEmail } = newPerson();
    await client.setEmail(signedIn.token, { email: newEmail });
    const verifying = await linkFor(target, newEmail);
    const resetting = await resetLinkFor(target, email);
    const madeUp = resetting.token.replace(/^./, first => (first === 'A' ? 'B' : 'A'));
    const malformed = ['', 'x', 'ä'.repeat(43), '\ud800', '\0', 'x'.repeat(5000), 'a.b.c'];
    const invalid = [...malformed, signedIn.token, signedIn.refreshToken, madeUp];
    const problems = [];
    for (const token of [...invalid, resetting.token]) problems.push(await problemOf(client.verifyEmail({ token })));
    for (const token of [...invalid, verifying.token]) {
      problems.push(await problemOf(client.resetPassword({ token, newPassword: NEW_PASSWORD })));
      problems.push(await problemOf(client.resetPassword({ token, newPassword: 'short' })));
    }
    const [first] = problems;
    assert.deepEqual([first?.status, first?.code], [400, 'invalid_one_time_token']);
    for (const problem of problems) assert.deepEqual({ ...problem, requestId: '' }, { ...first, requestId: '' });

    await client.resetPassword({ ...resetting, newPassword: NEW_PASSWORD });
  },

  'a change of the password or the address makes other links void': async target => {
    const { client } = target;
    const { credentials, email, signedIn } = await signUpVerified(target);
    const [first, second] = [newPerson().email, newPerson().email];
    const isVoid = (use: Promise<unknown>) => assert.rejects(use, { code: 'invalid_one_time_token' });
    await client.setEmail(signedIn.token, { email: first });
    const verifying = await linkFor(target, first);
    const resetting = await resetLinkFor(target, email);
    const change = { currentPassword: credentials.password, newPassword: NEW_PASSWORD };
    const { token } = await client.changePassword(signedIn.token, change);
    await isVoid(client.verifyEmail(verifying));
    await isVoid(client.resetPassword({ ...resetting, newPassword: NEW_PASSWORD }));

    const toOldAddress = await resetLinkFor(target, email);
    await client.setEmail(token, { email: second });
    await client.verifyEmail(await linkFor(target, second));
    await isVoid(client.resetPassword({ ...toOldAddress, newPassword: NEW_PASSWORD }));

    await client.setEmail(token, { email: first });
    const late = await linkFor(target, first);
    await client.resetPassword({ ...(await resetLinkFor(target, second)), newPassword: NEW_PASSWORD });
    await isVoid(client.verifyEmail(late));
  },
};
