import t from 'tap';
import { nginx } from './gateways/nginx.js';
import { tellStories } from './gateways/stories.js';

tellStories(t, nginx);
