import type { Queryable } from '@latchkey/service-kit/database';
import type { Origin, RecordedEvent } from '../events/recorder.js';

/** A factor that was checked, and may be used once. */
export type CheckedProof = {
  accountId: string;
  /** What it proves (RFC 8176). */
  amr: readonly string[];
  /**
   * Uses it up, in the transaction that does what it is for, which holds the lock on the account.
   *
   * @returns what was recorded; `undefined` when it was used meanwhile
   */
  use(db: Queryable, origin: Origin): Promise<RecordedEvent[] | undefined>;
};
