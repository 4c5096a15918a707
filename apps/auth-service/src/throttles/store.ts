/** A counter of which an attempt is to be taken. */
export type Claim = { key: string; quota: number };

/** An attempt that was taken. */
export type Lease = {
  /** Names the attempt. An attempt that is not settled counts until its lease ends. */
  lease: string;
  /** The keys of the counters of which it was taken. */
  taken: string[];
};

/** An attempt that was refused. */
export type Denial = {
  refusedBy: string;
  refusedS: number;
  /** Whether the counter is closed by failures, and not by attempts that are not settled yet. */
  isClosed: boolean;
};

/** What an attempt changes in one counter. All durations are in seconds. */
export type Settlement = Claim & {
  /** How long failures add up. */
  memory: number;
  /** The length of the first block; each later one is twice as long … */
  wait: number;
  /** … up to this. When not given, blocks end when the failures are forgotten. */
  longest?: number | undefined;
  /** Adds a failure. */
  failed?: boolean;
  /** Forgets earlier failures. */
  forgiven?: boolean;
  /** Marks the key as known for so long. */
  known?: number;
};

/** What a counter shows afterwards. */
export type Count = {
  key: string;
  left: number;
  /** When its failures are forgotten; `null` when it has none. */
  resetsS: number | null;
  /** The length of the block that begins now. */
  blockS: number | null;
};

/** What is counted for a key, without what is over. */
export type Counted = {
  key: string;
  failures: number;
  /** For how long it is blocked; `null` when it is not. */
  blockedS: number | null;
};

/** Counts attempts, for all replicas together and by the clock of the store. */
export type ThrottleStore = {
  /**
   * Takes an attempt of each claim, or of none, atomically: of attempts made in parallel, no more are taken than the quota.
   * A refusal of the first claim counts always; refusals of the others do not count when the caller is exempt, or when the
   * key of the first claim is known.
   */
  spend(claims: Claim[], leaseS: number, isExempt: boolean): Promise<Lease | Denial>;
  /**
   * Settles an attempt; settling it again changes nothing while its lease runs. A settlement that comes after the lease
   * counts each time, and so does one without a lease, which is of no attempt.
   */
  settle(lease: string | undefined, settlements: Settlement[]): Promise<Count[]>;
  /** Reads the counters that have failures. */
  read(keys: string[]): Promise<Counted[]>;
};
