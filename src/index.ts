import { commandsPlugin } from './commands';
import { refreshPlugin } from './refresh';

export default [commandsPlugin, refreshPlugin];
