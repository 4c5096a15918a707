import t from 'tap';
import { tellStories } from './gateways/stories.js';
import { traefik } from './gateways/traefik.js';

tellStories(t, traefik);
