export { connectionConfig, setLimits } from './connections.js';
export { isDatabaseUnavailable, kindOfDatabaseError } from './error-kinds.js';
export { createMigrator, type Migrations, type Migrator, withClient } from './migrations.js';
export { DatabaseBusyError, databasePool } from './pool.js';
export { describeRefusal, nameOf, placeOf } from './refusal.js';
export { inTransaction, type Queryable, transact } from './transactions.js';
