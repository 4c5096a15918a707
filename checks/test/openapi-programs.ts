/** What a team would write with the client that openapi-typescript and openapi-fetch make. */
export const typescriptProgram = `
import createClient from 'openapi-fetch';
import type { components, paths } from './api.js';

type User = components['schemas']['User'];
const client = createClient<paths>({ baseUrl: process.argv[2] as string });
const body = { username: 'typescript', password: 'open sesame 42' };

const refused = await client.POST('/auth/sign-up', { body: { ...body, username: 'a b' } });
if (refused.error?.code !== 'invalid_request') throw new Error('It has to be refused.');
const [fault] = refused.error.errors ?? [];
if (fault?.pointer !== '/username' || fault.reason !== 'pattern') throw new Error('It has to say why.');

const signedUp = await client.POST('/auth/sign-up', { body });
if (!signedUp.data) throw new Error(signedUp.error?.detail);
const wrong = await client.POST('/auth/sign-in', { body: { ...body, password: 'wrong' } });
if (wrong.error?.code === 'second_factor_required') console.log(wrong.error.challenge.length);
else if (wrong.error?.code !== 'invalid_credentials') throw new Error('The password has to be refused.');

const signedIn = await client.POST('/auth/sign-in', { body });
if (!signedIn.data) throw new Error(signedIn.error.detail);
const user: User = signedIn.data.user;
const me = await client.GET('/auth/me', { headers: { authorization: \`Bearer \${signedIn.data.token}\` } });
if (me.data?.username !== user.username) throw new Error('It has to be the same user.');
console.log('signed in');
`;

/** The same, with the client that openapi-python-client makes. */
export const pythonProgram = `
import sys

from latchkey import AuthenticatedClient, Client
from latchkey.api.auth import get_me, sign_in, sign_up
from latchkey.models import InvalidCredentialsProblem, InvalidRequestProblem, ProblemReason
from latchkey.models import SignedIn, SignInRequest, SignUpRequest, User

client = Client(base_url=sys.argv[1])

refused = sign_up.sync(client=client, body=SignUpRequest(username="a b", password="open sesame 42"))
assert isinstance(refused, InvalidRequestProblem), refused
assert refused.errors[0].reason == ProblemReason.PATTERN, refused

assert isinstance(sign_up.sync(client=client, body=SignUpRequest(username="python", password="open sesame 42")), SignedIn)
wrong = sign_in.sync(client=client, body=SignInRequest(username="python", password="wrong"))
assert isinstance(wrong, InvalidCredentialsProblem), wrong
signed_in = sign_in.sync(client=client, body=SignInRequest(username="python", password="open sesame 42"))
assert isinstance(signed_in, SignedIn), signed_in
me = get_me.sync(client=AuthenticatedClient(base_url=sys.argv[1], token=signed_in.token))
assert isinstance(me, User) and me == signed_in.user, me
print("signed in")
`;
