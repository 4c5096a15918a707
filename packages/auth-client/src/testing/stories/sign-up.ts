import assert from 'node:assert/strict';
import { describeResponse, linkFor, newPerson, problemOf, type Story } from './target.js';

/** The stories of `SIGN_UP=email`. */
export const silentSignUpStories: Record<string, Story> = {
  'an account exists when the link of its sign-up has been used': async target => {
    const { client } = target;
    const { credentials, email } = newPerson();
    assert.equal(await client.requestSignUp({ ...credentials, email }), 'pending');
    await assert.rejects(client.signIn(credentials), { code: 'invalid_credentials' });
    await client.verifyEmail(await linkFor(target, email));
    const { user } = await client.signIn(credentials);
    assert.deepEqual([user.username, user.email], [credentials.username, email]);
    assert.equal((await client.signIn({ ...credentials, username: email })).user.id, user.id);
  },

  'a sign-up by a method that expects tokens says that there are none yet': async ({ client }) => {
    const { credentials, email } = newPerson();
    await assert.rejects(client.signUp({ ...credentials, email }), {
      name: 'SignUpPendingError',
      code: 'sign_up_pending',
    });
  },

  'a sign-up does not tell whether the address is known, but its owner': async target => {
    const { client, mailbox, post } = target;
    const { credentials, email } = newPerson();
    await client.requestSignUp({ ...credentials, email });
    await client.verifyEmail(await linkFor(target, email));
    const again = newPerson();
    const responses = [];
    for (const address of [email.toUpperCase(), again.email]) {
      const response = await post('/auth/sign-up', { ...again.credentials, email: address });
      responses.push(await describeResponse(response));
    }
    assert.deepEqual(responses[1], responses[0]);
    assert.equal(responses[0]?.[0], 202);
    await mailbox.next(email, { template: 'sign-up-repeated' });
    await client.signIn(credentials);
  },

  'a password is judged at once': async ({ client }) => {
    const { credentials, email } = newPerson();
    const { code } = await problemOf(client.requestSignUp({ ...credentials, password: 'short', email }));
    assert.equal(code, 'password_rejected');
  },
};

/** The stories of `SIGN_UP=closed`. */
export const closedSignUpStories: Record<string, Story> = {
  'nobody signs up': async ({ client }) => {
    const { credentials, email } = newPerson();
    for (const account of [credentials, { ...credentials, email }]) {
      const { code, status } = await problemOf(client.signUp(account));
      assert.deepEqual([code, status], ['sign_up_closed', 403]);
      await assert.rejects(client.requestSignUp(account), { code: 'sign_up_closed' });
    }
    await assert.rejects(client.signIn(credentials), { code: 'invalid_credentials' });
  },
};
