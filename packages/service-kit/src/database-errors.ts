// Node's codes for a server that is not there, or not there any more.
const NETWORK = new Set([
  ...['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ETIMEDOUT', 'EHOSTUNREACH', 'ENETUNREACH', 'ENOTFOUND', 'EAI_AGAIN'],
]);
// pg reports these without any code.
const CLIENT =
  /^(timeout exceeded when trying to connect|Connection terminated|Query read timeout|Client has encountered a connection error|Client was closed|Cannot use a pool after)/;
// PostgreSQL's classes and codes (Appendix A): connection exceptions, operator intervention, no room for more connections
// or data, a broken machine, a lock not had in time, two that waited for each other, a server that takes no writes, a
// transaction that took too long, a login that is refused, a database that is not there.
const SQLSTATE = /^(08...|57P0.|57014|53...|58...|55P03|40001|40P01|25006|25P0[34]|28...|3D000)$/;

/** Whether an error says that the database cannot be used for now, as opposed to a fault of ours. */
export function isDatabaseUnavailable(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const { code = '' } = error as NodeJS.ErrnoException;
  return NETWORK.has(code) || SQLSTATE.test(code) || CLIENT.test(error.message);
}
