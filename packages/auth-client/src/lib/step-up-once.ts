import { AuthProblemError } from '../errors.js';
import { type AuthenticationNeeded, readChallenge } from './challenge.js';

export type StepUpOnceOptions = {
  /** Returns the current token. */
  token: () => Promise<string>;
  /** Steps up for a demand and returns the new token; `undefined` when the user did not want to. */
  stepUp: (needed: AuthenticationNeeded) => Promise<string | undefined>;
};

type StepUp = { needed: AuthenticationNeeded; token: Promise<string | undefined>; isDone: boolean };

/** Runs requests with a token, and steps up once for all that run at the same time and are refused for a weak sign-in. */
export function createStepUpOnce(
  options: StepUpOnceOptions,
): <T>(request: (token: string) => Promise<T>) => Promise<T> {
  let last: StepUp | undefined;

  const stepUpAfter = async (previous: StepUp | undefined, needed: AuthenticationNeeded) => {
    // One at a time: the user is asked.
    await previous?.token.catch(() => undefined);
    return options.stepUp(needed);
  };
  const begin = (needed: AuthenticationNeeded): StepUp => {
    const begun: StepUp = { needed, token: stepUpAfter(last, needed), isDone: false };
    const done = () => {
      begun.isDone = true;
    };
    begun.token.then(done, done);
    return begun;
  };

  return async request => {
    const doneBefore = last?.isDone ? last : undefined;
    const outcome = await run(request, await options.token());
    const { needed } = outcome;
    if (!needed) return outcome.settle();
    // One that was begun for another request since then will do, or was enough.
    if (!last || last === doneBefore || !covers(last.needed, needed)) last = begin(needed);
    const token = await last.token;
    if (token === undefined) return outcome.settle();
    outcome.discard();
    return request(token);
  };
}

/** Whether a step-up for one demand also meets the other. Each makes the sign-in as young as can be; levels sort by name. */
function covers(steppedUp: AuthenticationNeeded, needed: AuthenticationNeeded): boolean {
  return needed.acr === undefined || needed.acr <= (steppedUp.acr ?? 'aal1');
}

type Outcome<T> = { needed: AuthenticationNeeded | undefined; settle(): T; discard(): void };

/** Runs a request; says what the refusal of a weak sign-in demands, whether it is an error or the response of `fetch`. */
async function run<T>(request: (token: string) => Promise<T>, token: string): Promise<Outcome<T>> {
  try {
    const result = await request(token);
    const response = isResponse(result) && result.status === 401 ? result : undefined;
    return {
      needed: response && readChallenge(response.headers),
      settle: () => result,
      // Frees the connection; whether that succeeds does not matter.
      discard: () => void response?.body?.cancel().catch(() => undefined),
    };
  } catch (error) {
    return {
      needed: readError(error),
      settle: () => {
        throw error;
      },
      discard: () => undefined,
    };
  }
}

/** Not by `instanceof`: the `fetch` of a package has a class of its own. */
function isResponse(result: unknown): result is Response {
  const { status, headers } = (result ?? {}) as Partial<Response>;
  return typeof status === 'number' && typeof headers?.get === 'function';
}

function readError(error: unknown): AuthenticationNeeded | undefined {
  if (!(error instanceof AuthProblemError) || error.code !== 'insufficient_user_authentication') return undefined;
  const { acr, maxAgeS } = error;
  return { ...(acr !== undefined && { acr }), ...(maxAgeS !== undefined && { maxAgeS }) };
}
