/**
 * What is done for the notebooks that have a kernel of ours. It is loaded when the first one has.
 */

import type { JupyterFrontEnd } from '@jupyterlab/application';
import type { ICommandPalette, ISessionContext } from '@jupyterlab/apputils';
import type { Kernel } from '@jupyterlab/services';
import type { ISettingRegistry } from '@jupyterlab/settingregistry';
import type { ITranslator, TranslationBundle } from '@jupyterlab/translation';
import type { Toolbar } from '@jupyterlab/ui-components';
import type { Widget } from '@lumino/widgets';
import { DOMAIN } from '../domain';
import { showRunning } from '../running';
import type { Doctor } from './doctor';
import { SparkIndicator } from './indicator';
import { CellsProgress } from './progress';
import { SparkModel } from './spark';
import { SparkUis } from './sparkui';

/**
 * What IPython calls the error of a cell that needs the Spark that did not start.
 */
const SPARK_ERROR = 'SparkStartError';

/**
 * What our items of a toolbar are called.
 */
const NAME = 'pyspark-kernels';

/**
 * What the launcher prints where a cell needs no Spark.
 */
const SPARK_WORDS = 'Spark did not start.';

/**
 * Passes what is heard of a kernel on to those who know what it means.
 */
export class Watch {
  constructor(
    private readonly _app: JupyterFrontEnd,
    translator: ITranslator,
    palette: ICommandPalette | null,
    private readonly _settings: ISettingRegistry | null
  ) {
    this._trans = translator.load(DOMAIN);
    this._uis = new SparkUis(_app, palette, this._trans);
  }

  /**
   * Take note of what happened to the kernel of a notebook.
   *
   * @param event - a status, a message of the kernel, or that it is another one.
   */
  hear(
    panel: Widget,
    context: ISessionContext,
    kernel: Kernel.IKernelConnection,
    event: unknown
  ): void {
    if (hasFailed(event)) {
      this._fail(context, kernel);
    }
    // The notebook may have been closed meanwhile, or be given another kernel.
    if (!panel.isDisposed && context.session?.kernel === kernel) {
      this._modelOf(panel, context).follow(kernel, event);
    }
  }

  /**
   * List the Spark that runs among JupyterLab's running sessions.
   */
  showRunning(): void {
    void showRunning(this._app, this._trans);
  }

  private _fail(
    context: ISessionContext,
    kernel: Kernel.IKernelConnection
  ): void {
    this._doctor ??= import('./doctor').then(
      ({ Doctor }) => new Doctor(this._app, this._trans)
    );
    this._doctor
      .then(found => found.see(context, kernel))
      .catch(error => {
        // Perhaps the network fails just now: the next failure tries again.
        this._doctor = null;
        console.warn('The doctor was not loaded:', error);
      });
  }

  private _tellReceipt(model: SparkModel, context: ISessionContext): void {
    const receipt = model.takeReceipt();
    const name = context.session?.kernel?.name;
    if (receipt && name !== undefined) {
      import('./receipt')
        .then(found => found.tellReceipt(this._app, this._trans, name, receipt))
        .catch(error => console.warn('The receipt was not shown:', error));
    }
  }

  private _modelOf(panel: Widget, context: ISessionContext): SparkModel {
    let model = this._models.get(panel);
    if (!model) {
      const made = (model = new SparkModel());
      this._models.set(panel, made);
      context.kernelChanged.connect((_, { newValue }) =>
        made.leave(newValue ?? null)
      );
      panel.disposed.connect(() => made.leave(null));
      made.changed.connect(() => this._tellReceipt(made, context));
      new CellsProgress(panel, made, this._settings, this._trans);
      const { toolbar } = panel as Widget & { toolbar?: Toolbar };
      if (toolbar) {
        addTo(toolbar, NAME, new SparkIndicator(made, this._trans));
        const button = this._uis.add(panel, { context, model: made });
        addTo(toolbar, `${NAME}-ui`, button);
      }
    }
    return model;
  }

  private readonly _trans: TranslationBundle;
  private readonly _uis: SparkUis;
  private readonly _models = new WeakMap<Widget, SparkModel>();
  private _doctor: Promise<Doctor> | null = null;
}

/**
 * Put something before the kernel's name, or last where the toolbar does not show that.
 */
function addTo(toolbar: Toolbar, name: string, item: Widget): void {
  if (!toolbar.insertBefore('kernelName', name, item)) {
    toolbar.addItem(name, item);
  }
}

/**
 * Tell whether an event says that a kernel ended, or has no Spark.
 */
function hasFailed(event: unknown): boolean {
  if (typeof event === 'string') {
    return event === 'dead' || event === 'autorestarting';
  }
  const { content } = event as { content?: { ename?: string; text?: string } };
  return (
    content?.ename === SPARK_ERROR ||
    content?.text?.startsWith(SPARK_WORDS) === true
  );
}
