/**
 * The Spark UI of a notebook's kernel, inside JupyterLab. It is loaded with the first notebook that
 * has a kernel of ours.
 */

import type { JupyterFrontEnd } from '@jupyterlab/application';
import {
  type ICommandPalette,
  type ISessionContext,
  MainAreaWidget
} from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import { CommandToolbarButton, IFrame } from '@jupyterlab/ui-components';
import type { Widget } from '@lumino/widgets';
import '../../style/sparkui.css';
import { Api } from '../api';
import { orExplain } from '../explain';
import { sparkIcon } from '../icon';
import { type SparkModel, whyNoUi } from './spark';

const COMMAND = 'pyspark-kernels:spark-ui';

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
 * A notebook, and how the Spark of its kernel is.
 */
interface INotebook {
  context: ISessionContext;
  model: SparkModel;
}

/**
 * Opens the Spark UIs of notebooks.
 */
export class SparkUis {
  constructor(
    private readonly _app: JupyterFrontEnd,
    palette: ICommandPalette | null,
    private readonly _trans: TranslationBundle
  ) {
    this._addCommand();
    const category = _trans.__('Kernel Operations');
    palette?.addItem({ command: COMMAND, category });
  }

  /**
   * Take note of a notebook, and give the button for its toolbar.
   */
  add(panel: Widget, notebook: INotebook): Widget {
    const { commands } = this._app;
    this._notebooks.set(panel, notebook);
    const changed = (): void => commands.notifyCommandChanged(COMMAND);
    notebook.model.changed.connect(changed);
    panel.disposed.connect(() => {
      this._notebooks.delete(panel);
      changed();
    });
    return new CommandToolbarButton({
      commands,
      id: COMMAND,
      args: { notebook: panel.id },
      label: this._trans.__('Spark UI')
    });
  }

  private _addCommand(): void {
    const { commands } = this._app;
    const trans = this._trans;
    commands.addCommand(COMMAND, {
      label: trans.__('Open Spark UI'),
      caption: ({ notebook }) =>
        this._whyNot(notebook) ??
        trans.__(
          'Show the jobs, stages and executors of this notebook’s Spark'
        ),
      icon: sparkIcon,
      describedBy: async () => (await import('../arguments')).ofNotebook(trans),
      isEnabled: ({ notebook }) => this._whyNot(notebook) === null,
      execute: ({ notebook }) =>
        orExplain(trans.__('The Spark UI cannot be shown'), trans, () =>
          this._open(this._find(notebook))
        )
    });
  }

  /**
   * Find a notebook by the id of its panel; the current one where none is named.
   */
  private _find(id: unknown): INotebook | null {
    const { currentWidget } = this._app.shell;
    for (const [panel, notebook] of this._notebooks) {
      if (id === undefined ? panel === currentWidget : panel.id === id) {
        return notebook;
      }
    }
    return null;
  }

  private _whyNot(id: unknown): string | null {
    const notebook = this._find(id);
    return notebook
      ? whyNoUi(notebook.model, this._trans)
      : this._trans.__('Go to a notebook with a PySpark kernel first.');
  }

  private async _open(notebook: INotebook | null): Promise<Widget | null> {
    const kernel = notebook?.context.session?.kernel;
    if (!kernel) {
      return null;
    }
    const { shell, serviceManager } = this._app;
    const { serverSettings } = serviceManager;
    // The server knows whether there is one, and refuses with the reason.
    const { url, tracking } = await new Api(serverSettings).sparkUi(kernel.id);
    if (url === null) {
      window.open(tracking ?? '', '_blank', 'noopener,noreferrer');
      return null;
    }
    const id = `jp-pyspark-kernels-ui-${kernel.id}`;
    let panel = [...shell.widgets('main')].find(widget => widget.id === id);
    if (!panel) {
      const label = this._trans.__('Spark UI: %1', notebook.context.name);
      panel = frame(id, label, new URL(url, serverSettings.baseUrl).href);
      shell.add(panel, 'main');
    }
    shell.activateById(id);
    return panel;
  }

  private readonly _notebooks = new Map<Widget, INotebook>();
}

function frame(id: string, label: string, url: string): Widget {
  const content = new IFrame({ sandbox: SANDBOX });
  content.addClass('jp-PySparkKernels-ui');
  content.node.querySelector('iframe')?.setAttribute('title', label);
  content.url = url;
  const panel = new MainAreaWidget({ content });
  panel.id = id;
  panel.title.label = label;
  panel.title.icon = sparkIcon;
  panel.title.closable = true;
  panel.toolbar.hide();
  return panel;
}
