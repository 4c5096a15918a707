import type { Part } from '../report.js';
import { measureGrowth } from '../scale/growth.js';
import { simulate } from '../scale/simulation.js';

/** What the number of accounts costs: sign-ins by it, or a simulation of a given one. */
export const scale: Part = ({ accounts, seconds = 10 }) =>
  accounts === undefined ? measureGrowth() : simulate(accounts, seconds);
