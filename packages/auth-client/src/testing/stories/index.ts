export { addressStories } from './addresses.js';
export { factorChangeStories, factorStories, requiredFactorStories } from './factors.js';
export { passkeyStories } from './passkeys.js';
export { recoveryStories } from './recovery.js';
export { closedSignUpStories, silentSignUpStories } from './sign-up.js';
export type { Story, StoryTarget } from './target.js';
