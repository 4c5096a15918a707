/** Whom a hash is for. Callers without an address count as one, and so do those without an account. */
export type Owner = {
  /** See `foldAddress`. */
  address: string | undefined;
  /** Username in lower case, whether such an account exists or not. */
  account: string | undefined;
};

/** The order in which waiting jobs go. */
export type Turns<Job> = {
  order: readonly Job[];
  /** The waiting jobs that go before a newcomer. One whose account is not known yet counts as the first of its account. */
  before(newcomer: Owner): Job[];
};

/** How many jobs run or came earlier for the same account, and for the same address. */
type Ahead = { ofAccount: number; ofAddress: number };

/**
 * Orders waiting jobs: the one whose account has the fewest jobs ahead of it goes first, then the one whose address has,
 * then the one that came first. So the first job of an account goes before the second of any other, and among those the
 * first of an address before the second. Behind a gateway that is not in TRUST_PROXY, all
 * callers share an address, and accounts still take turns.
 *
 * @param waiting in the order in which they came
 */
export function takeTurns<Job extends Owner>(running: Iterable<Job>, waiting: Iterable<Job>): Turns<Job> {
  const accounts = new Map<string | undefined, number>();
  const addresses = new Map<string | undefined, number>();
  const aheadOf = ({ account, address }: Owner): Ahead => ({
    ofAccount: accounts.get(account) ?? 0,
    ofAddress: addresses.get(address) ?? 0,
  });
  const add = (job: Job) => {
    const ahead = aheadOf(job);
    accounts.set(job.account, ahead.ofAccount + 1);
    addresses.set(job.address, ahead.ofAddress + 1);
    return { job, ahead };
  };
  for (const job of running) add(job);
  // The sort is stable, which leaves ties in the order in which they came.
  const places = Array.from(waiting, add).sort((a, b) => compare(a.ahead, b.ahead));
  return {
    order: places.map(({ job }) => job),
    before(newcomer) {
      const counted = aheadOf(newcomer);
      const ahead = newcomer.account === undefined ? { ...counted, ofAccount: 0 } : counted;
      return places.filter(place => compare(place.ahead, ahead) <= 0).map(({ job }) => job);
    },
  };
}

function compare(a: Ahead, b: Ahead): number {
  return a.ofAccount - b.ofAccount || a.ofAddress - b.ofAddress;
}
