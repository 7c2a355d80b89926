import type {
  JupyterFrontEnd,
  JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import type { Event } from '@jupyterlab/services';
import {
  ITranslator,
  nullTranslator,
  type TranslationBundle
} from '@jupyterlab/translation';
import { DOMAIN } from '../domain';
import { described, late } from '../late';
import { shownTasks, TASK_EVENT, type TaskState } from './shown';

export namespace TaskCommandIDs {
  export const showTasks = 'pyspark-kernels:show-tasks';
  export const repack = 'pyspark-kernels:repack';
  export const archives = 'pyspark-kernels:archives';
}

export const tasksPlugin: JupyterFrontEndPlugin<void> = {
  id: 'jupyterlab-pyspark-kernels:tasks',
  description: 'Shows long work for PySpark kernels, and packed environments.',
  autoStart: true,
  optional: [ICommandPalette, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    palette: ICommandPalette | null,
    translator: ITranslator | null
  ) => {
    const trans = (translator ?? nullTranslator).load(DOMAIN);
    addCommands(app, trans);
    for (const command of [TaskCommandIDs.showTasks, TaskCommandIDs.archives]) {
      palette?.addItem({ command, category: trans.__('Kernel Operations') });
    }
    notify(app, trans);
  }
};

/**
 * Show by notifications what no dialog shows. Nothing is loaded or asked for before a task is heard
 * of.
 */
function notify(app: JupyterFrontEnd, trans: TranslationBundle): void {
  const { commands, serviceManager } = app;
  const { showTasks } = TaskCommandIDs;
  const load = async () => {
    const { TaskNotifier } = await import('./notify');
    const server = serviceManager.serverSettings;
    return new TaskNotifier({ server, commands, trans, showTasks });
  };
  let notifier: ReturnType<typeof load> | null = null;
  const pass = (take: (to: Awaited<typeof notifier>) => void): void => {
    notifier ??= load();
    notifier.then(take).catch(error => {
      // Perhaps the network fails just now: the next event tries again.
      notifier = null;
      console.warn('The work was not shown:', error);
    });
  };
  serviceManager.events.stream.connect((_: unknown, event: Event.Emission) => {
    if (event.schema_id === TASK_EVENT) {
      pass(to => to?.hear(event as unknown as TaskState));
    }
  });
  shownTasks.onChanged = released => {
    if (released || notifier) {
      pass(to => to?.see(released));
    }
  };
}

function addCommands(app: JupyterFrontEnd, trans: TranslationBundle): void {
  const { commands } = app;
  const load = () => import('./open');

  commands.addCommand(TaskCommandIDs.showTasks, {
    label: trans.__('Show PySpark Tasks'),
    caption: trans.__(
      'Show how far the packing and installing for PySpark kernels is'
    ),
    describedBy: async () => (await described()).ofTask(trans),
    execute: ({ id }) =>
      late(trans, load, ({ showTasks }) => showTasks(app, trans, id))
  });

  commands.addCommand(TaskCommandIDs.archives, {
    label: trans.__('Show Packed PySpark Environments'),
    caption: trans.__(
      'Show the environments that kernels carry to the executors'
    ),
    describedBy: async () => (await described()).NONE,
    execute: () =>
      late(trans, load, ({ showArchives }) => showArchives(app, trans))
  });

  commands.addCommand(TaskCommandIDs.repack, {
    label: trans.__('Pack Environment of PySpark Kernel Again'),
    caption: trans.__(
      'Bring what the executors of a kernel unpack to what its environment is now'
    ),
    describedBy: async () => (await described()).ofKernel(trans),
    isEnabled: args => Boolean(args.place && args.name),
    execute: args => late(trans, load, ({ repack }) => repack(app, trans, args))
  });
}
