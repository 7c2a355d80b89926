import { commandsPlugin } from './commands';
import { managerPlugin } from './manager/plugin';
import { notebookPlugin } from './notebook/plugin';
import { refreshPlugin } from './refresh';
import { tasksPlugin } from './tasks/plugin';

export default [
  commandsPlugin,
  managerPlugin,
  notebookPlugin,
  refreshPlugin,
  tasksPlugin
];
