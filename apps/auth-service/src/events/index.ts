import fp from 'fastify-plugin';
import type { WithConfig } from '../config/settings.js';
import { deleteOldEvents } from './trail.js';

const BATCH = 1000;

/** Keeps the audit trail for as long as the settings say. */
export default fp<WithConfig>(
  async (app, { config: { auditRetentionDays: days } }) => {
    if (days > 0) app.cleanHourly(async client => (await deleteOldEvents(client, days, BATCH)) === BATCH);
  },
  { name: 'events', dependencies: ['database'] },
);
