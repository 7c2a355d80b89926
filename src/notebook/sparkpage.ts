/**
 * The Spark UI of a running kernel, as a tab. It is small, and in the chunks of those who open it: one
 * of its own would be named in what is loaded at the start.
 */

import type { JupyterFrontEnd } from '@jupyterlab/application';
import { MainAreaWidget } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import {
  addToolbarButtonClass,
  IFrame,
  type LabIcon,
  launchIcon,
  ReactWidget,
  refreshIcon,
  Toolbar,
  ToolbarButtonComponent
} from '@jupyterlab/ui-components';
import type { Widget } from '@lumino/widgets';
import { createElement } from 'react';
import '../../style/sparkui.css';
import type { Api } from '../api';
import { sparkIcon } from '../icon';
import { hasTabs } from '../page';

/**
 * What Spark's pages are let do: their scripts are of this server, and they ask before they kill.
 */
const SANDBOX: IFrame.SandboxExceptions[] = [
  'allow-scripts',
  'allow-same-origin',
  'allow-forms',
  'allow-modals',
  'allow-downloads'
];

/**
 * A kernel that runs, and what it is known by: its notebook's name.
 */
export interface IRunningKernel {
  id: string;
  name: string;
}

/**
 * Show the Spark UI of a kernel: in the tab that is there, or where YARN shows it. Jupyter Notebook has
 * no tabs but the browser's.
 *
 * @returns the tab; null when it is elsewhere.
 */
export async function showSparkUi(
  shell: JupyterFrontEnd['shell'],
  api: Api,
  trans: TranslationBundle,
  kernel: IRunningKernel
): Promise<Widget | null> {
  // The server knows whether there is one, and refuses with the reason.
  const { url, tracking } = await api.sparkUi(kernel.id);
  if (url === null || !hasTabs(shell)) {
    openElsewhere(url ?? tracking ?? '');
    return null;
  }
  const id = `jp-pyspark-kernels-ui-${kernel.id}`;
  let panel = [...shell.widgets('main')].find(widget => widget.id === id);
  if (!panel) {
    panel = page(trans.__('Spark UI: %1', kernel.name), url, trans);
    panel.id = id;
    shell.add(panel, 'main');
  }
  shell.activateById(id);
  return panel;
}

function page(label: string, url: string, trans: TranslationBundle): Widget {
  const content = new IFrame({ sandbox: SANDBOX });
  content.addClass('jp-PySparkKernels-ui');
  content.url = url;
  const frame = content.node.querySelector('iframe') as HTMLIFrameElement;
  frame.title = label;
  const panel = new MainAreaWidget({ content });
  panel.addClass('jp-PySparkKernels-uiPage');
  panel.title.label = label;
  panel.title.icon = sparkIcon;
  panel.title.closable = true;
  const { toolbar } = panel;
  toolbar.node.setAttribute('aria-label', label);
  const reloads = trans.__('Reload: Spark’s pages do not change by themselves');
  toolbar.addItem(
    'reload',
    button(refreshIcon, reloads, () => reload(frame, url))
  );
  toolbar.addItem('spacer', Toolbar.createSpacerItem());
  toolbar.addItem(
    'elsewhere',
    button(launchIcon, trans.__('Open in a new browser tab'), () =>
      openElsewhere(frame.contentDocument?.location.href ?? url)
    )
  );
  return panel;
}

/**
 * Make a button of a toolbar. JupyterLab's own widget says that it is not pressed, which only
 * something that stays pressed may say.
 */
function button(
  icon: LabIcon,
  tooltip: string,
  onClick: () => void
): ReactWidget {
  return addToolbarButtonClass(
    ReactWidget.create(
      createElement(ToolbarButtonComponent, { icon, tooltip, onClick })
    )
  );
}

/**
 * Load the page that is shown once more; the first one where somebody else's is shown, as a log's.
 */
function reload(frame: HTMLIFrameElement, url: string): void {
  if (frame.contentDocument) {
    frame.contentDocument.location.reload();
  } else {
    frame.src = url;
  }
}

function openElsewhere(url: string): void {
  window.open(url, '_blank', 'noopener,noreferrer');
}
