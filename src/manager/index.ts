/**
 * The panel of all kernels, and what is shown of one. It is loaded when it is first opened.
 */

import type { JupyterFrontEnd } from '@jupyterlab/application';
import { MainAreaWidget, type WidgetTracker } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import { Api, type KernelAddress } from '../api';
import { orExplain } from '../explain';
import { sparkIcon } from '../icon';
import { showPage } from '../page';
import * as dialogs from './dialogs';
import { type IManagerServices, ManagerModel } from './model';
import { ManagerView } from './panel';

function servicesOf(
  app: JupyterFrontEnd,
  trans: TranslationBundle
): IManagerServices {
  const { commands, serviceManager, shell } = app;
  const { events, serverSettings, sessions } = serviceManager;
  const api = new Api(serverSettings);
  return { api, commands, events, sessions, shell, trans };
}

/**
 * Show the panel, which there is once.
 */
export function showPanel(
  app: JupyterFrontEnd,
  trans: TranslationBundle,
  tracker: WidgetTracker<MainAreaWidget>
): MainAreaWidget {
  const panel = tracker.currentWidget ?? createPanel(app, trans);
  if (!tracker.has(panel)) {
    void tracker.add(panel);
  }
  showPage(app.shell, panel);
  return panel;
}

export function createPanel(
  app: JupyterFrontEnd,
  trans: TranslationBundle
): MainAreaWidget {
  const content = new ManagerView(new ManagerModel(servicesOf(app, trans)));
  const panel = new MainAreaWidget({ content });
  panel.id = 'jp-pyspark-kernels';
  panel.title.label = trans.__('PySpark Kernels');
  panel.title.icon = sparkIcon;
  panel.title.closable = true;
  panel.toolbar.hide();
  return panel;
}

export function showTest(
  app: JupyterFrontEnd,
  trans: TranslationBundle,
  kernel: KernelAddress
): Promise<unknown> {
  return orExplain(trans.__('It cannot be shown'), trans, () =>
    dialogs.showTest(servicesOf(app, trans), kernel)
  );
}

export function showDoctor(
  app: JupyterFrontEnd,
  trans: TranslationBundle,
  kernel: KernelAddress
): Promise<unknown> {
  return orExplain(trans.__('It cannot be shown'), trans, () =>
    dialogs.showDoctor(servicesOf(app, trans), kernel)
  );
}
