import t from 'tap';
import { haproxy } from './gateways/haproxy.js';
import { tellStories } from './gateways/stories.js';

tellStories(t, haproxy);
