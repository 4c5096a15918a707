/** One key of a limit, of which an attempt is to be taken. */
export type Claim = { key: string; quota: number };

/** What a store gives for an attempt that was taken. */
export type Lease = {
  /** Names the attempt. Until it runs out, the attempt counts as long as it is not settled. */
  lease: string;
  /** The keys of which it was taken. */
  taken: string[];
};

/** What a store says instead. */
export type Denial = {
  refusedBy: string;
  refusedS: number;
  /** Whether by failures; otherwise by attempts that are not settled yet. */
  isClosed: boolean;
};

/** What came of an attempt, for one key. All durations are in seconds. */
export type Settlement = Claim & {
  /** How long failures add up. */
  memory: number;
  /** The first block, and each time twice as long … */
  wait: number;
  /** … up to this; when not given, blocks end when the failures are forgotten. */
  longest?: number | undefined;
  /** Adds a failure. */
  failed?: boolean;
  /** Forgets earlier failures. */
  forgiven?: boolean;
  /** Knows the key for so long. */
  known?: number;
};

/** What a key has left. */
export type Count = {
  key: string;
  left: number;
  /** When its failures are forgotten; `null` when it has none. */
  resetsS: number | null;
  /** The block that begins now. */
  blockS: number | null;
};

/** Counts attempts where all replicas share them, and by its own clock. */
export type ThrottleStore = {
  /**
   * Takes an attempt of each claim, or of none, and at once: of those made in parallel, no more are taken than the quota.
   * What the first claim refuses is refused; what the others refuse is of no concern to a caller who is exempt, or whom the
   * first one's key is known.
   */
  spend(claims: Claim[], leaseS: number, isExempt: boolean): Promise<Lease | Denial>;
  /**
   * Settles an attempt; to settle it once more changes nothing while its lease runs. A settlement that comes after the lease
   * counts each time.
   */
  settle(lease: string, settlements: Settlement[]): Promise<Count[]>;
};
