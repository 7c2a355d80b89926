import type {
  JupyterFrontEnd,
  JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { ICommandPalette, showErrorMessage } from '@jupyterlab/apputils';
import { ILauncher } from '@jupyterlab/launcher';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import {
  ITranslator,
  nullTranslator,
  type TranslationBundle
} from '@jupyterlab/translation';
import type { ReadonlyPartialJSONObject } from '@lumino/coreutils';
import type { Kernel } from './api';
import type { IKernelDialogOptions } from './dialog';
import { DOMAIN } from './domain';
// It explains what cannot be loaded, so it cannot be loaded late itself.

import { orExplain } from './explain';
import { sparkIcon } from './icon';

const PLUGIN_ID = 'jupyterlab-pyspark-kernels:commands';

const LAUNCHER_RANK = 5;

export namespace CommandIDs {
  export const create = 'pyspark-kernels:create';
  export const edit = 'pyspark-kernels:edit';
  export const undo = 'pyspark-kernels:undo';
}

export const commandsPlugin: JupyterFrontEndPlugin<void> = {
  id: PLUGIN_ID,
  description: 'Adds the commands that create, edit and undo PySpark kernels.',
  autoStart: true,
  optional: [ILauncher, ICommandPalette, ISettingRegistry, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    launcher: ILauncher | null,
    palette: ICommandPalette | null,
    settings: ISettingRegistry | null,
    translator: ITranslator | null
  ) => {
    const trans = (translator ?? nullTranslator).load(DOMAIN);
    addCommands(app, settings, trans);
    launcher?.add({
      command: CommandIDs.create,
      args: { isLauncher: true },
      rank: LAUNCHER_RANK
    });
    for (const command of [CommandIDs.create, CommandIDs.undo]) {
      palette?.addItem({ command, category: trans.__('Kernel Operations') });
    }
  }
};

function addCommands(
  app: JupyterFrontEnd,
  settings: ISettingRegistry | null,
  trans: TranslationBundle
): void {
  const { commands, serviceManager } = app;
  const connect = async () =>
    new (await import('./api')).Api(serviceManager.serverSettings);

  const showDialog = async (
    options: Omit<IKernelDialogOptions, 'api' | 'events' | 'trans'>
  ): Promise<Kernel | null> => {
    const { showKernelDialog } = await import('./dialog');
    const { events } = serviceManager;
    const api = await connect();
    const kernel = await showKernelDialog({ api, events, trans, ...options });
    if (kernel) {
      await refresh();
    }
    return kernel;
  };

  /** List the kernels anew. What was done stays done when that fails. */
  const refresh = () =>
    serviceManager.kernelspecs
      .refreshSpecs()
      .catch(error => console.warn('The kernels were not listed:', error));

  commands.addCommand(CommandIDs.create, {
    label: args =>
      args.isLauncher
        ? trans.__('Create PySpark Kernel')
        : trans.__('Create PySpark Kernel…'),
    caption: trans.__(
      'Create a kernel that runs notebooks with PySpark in an environment of your choice'
    ),
    icon: sparkIcon,
    describedBy: async () => (await import('./arguments')).ofFields(trans),
    execute: args =>
      orExplain(trans.__('No PySpark kernel was created'), trans, async () => {
        const kernel = await showDialog({
          settings: await formSettings(settings),
          args
        });
        if (kernel) {
          const { announceCreated } = await import('./announce');
          announceCreated(commands, trans, kernel, args.cwd);
        }
        return kernel;
      })
  });

  commands.addCommand(CommandIDs.edit, {
    label: trans.__('Edit PySpark Kernel…'),
    caption: trans.__('Change the configuration of a PySpark kernel'),
    icon: sparkIcon,
    describedBy: async () => (await import('./arguments')).ofEdit(trans),
    isEnabled: args => Boolean(args.place && args.name),
    execute: args =>
      orExplain(
        trans.__('The PySpark kernel was not changed'),
        trans,
        async () => {
          const api = await connect();
          const old = await api.kernel(String(args.place), String(args.name));
          if (!old.config) {
            await showErrorMessage(
              trans.__('It cannot be read'),
              old.problem ?? ''
            );
            return null;
          }
          const kernel = await showDialog({
            kernel: old,
            args: args.changes as ReadonlyPartialJSONObject
          });
          if (kernel) {
            const { announceChanged } = await import('./announce');
            announceChanged(trans, kernel);
          }
          return kernel;
        }
      )
  });

  commands.addCommand(CommandIDs.undo, {
    label: trans.__('Undo Last PySpark Kernel Change'),
    caption: trans.__('Take back the last delete or edit of a PySpark kernel'),
    describedBy: async () => (await import('./arguments')).NONE,
    execute: () =>
      orExplain(trans.__('Nothing was undone'), trans, async () => {
        const { announceUndone } = await import('./announce');
        const kernel = await (await connect()).undo();
        await refresh();
        announceUndone(trans, kernel);
        return kernel;
      })
  });
}

/**
 * Give what the user has set, and an administrator for everybody in overrides.json.
 */
async function formSettings(
  registry: ISettingRegistry | null
): Promise<ReadonlyPartialJSONObject> {
  try {
    return (await registry?.load(PLUGIN_ID))?.composite ?? {};
  } catch (error) {
    console.warn(`The settings of ${PLUGIN_ID} were not read:`, error);
    return {};
  }
}
