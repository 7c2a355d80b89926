/**
 * The button and the command that open the Spark UI of a notebook's kernel. They are loaded with the
 * first notebook that has a kernel of ours.
 */

import type { JupyterFrontEnd } from '@jupyterlab/application';
import type { ICommandPalette, ISessionContext } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import { CommandToolbarButton } from '@jupyterlab/ui-components';
import type { Widget } from '@lumino/widgets';
import { Api } from '../api';
import { orExplain } from '../explain';
import { sparkIcon } from '../icon';
import { type SparkModel, whyNoUi } from './spark';
import { showSparkUi } from './sparkpage';

const COMMAND = 'pyspark-kernels:spark-ui';

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
      isEnabled: ({ kernel, notebook }) =>
        typeof kernel === 'string' || this._whyNot(notebook) === null,
      execute: ({ kernel, name, notebook }) =>
        orExplain(trans.__('The Spark UI cannot be shown'), trans, () =>
          typeof kernel === 'string'
            ? this._show(kernel, String(name))
            : this._open(this._find(notebook))
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
    return kernel ? this._show(kernel.id, notebook.context.name) : null;
  }

  private async _show(kernel: string, name: string): Promise<Widget | null> {
    const { shell, serviceManager } = this._app;
    const api = new Api(serviceManager.serverSettings);
    return showSparkUi(shell, api, this._trans, { id: kernel, name });
  }

  private readonly _notebooks = new Map<Widget, INotebook>();
}
