export type {
  LinkTemplate,
  NoticeTemplate,
  TestMail,
  TestMailbox,
  TestNotice,
} from '../lib/testing/mailbox.js';
export {
  createTestIssuer,
  type TestIssuer,
  type TestIssuerOptions,
  type TestSignInOptions,
} from './test-issuer.js';
export {
  createVirtualAuthenticator,
  type Misconduct,
  type VirtualAuthenticator,
  type VirtualAuthenticatorOptions,
} from './virtual-authenticator.js';
