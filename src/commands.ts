import type {
  JupyterFrontEnd,
  JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { ILauncher } from '@jupyterlab/launcher';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import {
  ITranslator,
  nullTranslator,
  type TranslationBundle
} from '@jupyterlab/translation';
import { DOMAIN } from './domain';
import { sparkIcon } from './icon';
import { described, late } from './late';

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
  const { commands } = app;
  const services = { app, settings, plugin: PLUGIN_ID, trans };
  const load = () => import('./create');

  commands.addCommand(CommandIDs.create, {
    label: args =>
      args.isLauncher
        ? trans.__('Create PySpark Kernel')
        : trans.__('Create PySpark Kernel…'),
    caption: trans.__(
      'Create a kernel that runs notebooks with PySpark in an environment of your choice'
    ),
    icon: sparkIcon,
    describedBy: async () => (await described()).ofFields(trans),
    execute: args => late(trans, load, ({ create }) => create(services, args))
  });

  commands.addCommand(CommandIDs.edit, {
    label: trans.__('Edit PySpark Kernel…'),
    caption: trans.__('Change the configuration of a PySpark kernel'),
    icon: sparkIcon,
    describedBy: async () => (await described()).ofEdit(trans),
    isEnabled: args => Boolean(args.place && args.name),
    execute: args => late(trans, load, ({ edit }) => edit(services, args))
  });

  commands.addCommand(CommandIDs.undo, {
    label: trans.__('Undo Last PySpark Kernel Change'),
    caption: trans.__('Take back the last delete or edit of a PySpark kernel'),
    describedBy: async () => (await described()).NONE,
    execute: () => late(trans, load, ({ undo }) => undo(services))
  });
}
