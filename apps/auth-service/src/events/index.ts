import fp from 'fastify-plugin';
import type { EventSettings } from '../config/sections/events.js';
import { deleteOldEvents } from './trail.js';

const BATCH = 1000;

/** Keeps the audit trail for as long as the settings say. */
export default fp<{ config: EventSettings }>(
  async (app, { config: { auditRetentionDays: days } }) => {
    if (days > 0) app.cleanHourly(async client => (await deleteOldEvents(client, days, BATCH)) === BATCH);
  },
  { name: 'events', dependencies: ['database'] },
);
