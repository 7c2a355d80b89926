import {
  ILayoutRestorer,
  type JupyterFrontEnd,
  type JupyterFrontEndPlugin
} from '@jupyterlab/application';
import {
  ICommandPalette,
  type MainAreaWidget,
  WidgetTracker
} from '@jupyterlab/apputils';
import {
  ITranslator,
  nullTranslator,
  type TranslationBundle
} from '@jupyterlab/translation';
import { DOMAIN } from '../domain';
import { sparkIcon } from '../icon';
import { described, late } from '../late';

export namespace ManagerCommandIDs {
  export const manager = 'pyspark-kernels:manager';
  export const test = 'pyspark-kernels:test';
  export const doctor = 'pyspark-kernels:doctor';
}

export const managerPlugin: JupyterFrontEndPlugin<void> = {
  id: 'jupyterlab-pyspark-kernels:manager',
  description: 'Adds the panel of all PySpark kernels.',
  autoStart: true,
  optional: [ILayoutRestorer, ICommandPalette, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    restorer: ILayoutRestorer | null,
    palette: ICommandPalette | null,
    translator: ITranslator | null
  ) => {
    const trans = (translator ?? nullTranslator).load(DOMAIN);
    const command = ManagerCommandIDs.manager;
    addPanel(app, restorer, trans);
    addDialogs(app, trans);
    palette?.addItem({ command, category: trans.__('Kernel Operations') });
  }
};

function addPanel(
  app: JupyterFrontEnd,
  restorer: ILayoutRestorer | null,
  trans: TranslationBundle
): void {
  const command = ManagerCommandIDs.manager;
  // JupyterLab finds what it keeps by what stands before the first colon.
  const namespace = 'pyspark-kernels-manager';
  const tracker = new WidgetTracker<MainAreaWidget>({ namespace });
  app.commands.addCommand(command, {
    label: trans.__('PySpark Kernels'),
    caption: trans.__('Search, test, change and share all PySpark kernels'),
    icon: sparkIcon,
    describedBy: async () => (await described()).NONE,
    execute: () =>
      late(
        trans,
        () => import('.'),
        ({ showPanel }) => showPanel(app, trans, tracker)
      )
  });
  void restorer?.restore(tracker, { command, name: () => 'panel' });
}

function addDialogs(app: JupyterFrontEnd, trans: TranslationBundle): void {
  const add = (id: string, label: string, show: 'showTest' | 'showDoctor') =>
    app.commands.addCommand(id, {
      label,
      describedBy: async () => (await described()).ofKernel(trans),
      isEnabled: args => Boolean(args.place && args.name),
      execute: ({ place, name }) =>
        late(
          trans,
          () => import('.'),
          dialogs =>
            dialogs[show](app, trans, {
              place: String(place),
              name: String(name)
            })
        )
    });
  add(ManagerCommandIDs.test, trans.__('Test PySpark Kernel'), 'showTest');
  add(
    ManagerCommandIDs.doctor,
    trans.__('Diagnose PySpark Kernel'),
    'showDoctor'
  );
}
