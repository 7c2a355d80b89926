import { commandsPlugin } from './commands';
import { refreshPlugin } from './refresh';
import { tasksPlugin } from './tasks/plugin';

export default [commandsPlugin, refreshPlugin, tasksPlugin];
