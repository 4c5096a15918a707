import { transact } from '@latchkey/service-kit/database';
import fp from 'fastify-plugin';
import type { EventSettings } from '../config/sections/events.js';
import { deleteOldEvents, keepPartitions } from './trail.js';

const BATCH = 1000;

/** Keeps the audit trail: a partition for each month, for as long as the settings say. */
export default fp<{ config: EventSettings }>(
  async (app, { config: { auditRetentionDays: days } }) => {
    // The service may have been away for months.
    await transact(app.pg, client => keepPartitions(client, days)).catch(error => {
      app.log.warn({ err: error }, 'cannot keep the partitions of the audit events');
    });
    app.cleanHourly(async client => {
      await keepPartitions(client, days);
      return false;
    });
    if (days > 0) app.cleanHourly(async client => (await deleteOldEvents(client, days, BATCH)) === BATCH);
  },
  { name: 'events', dependencies: ['database'] },
);
