/**
 * What is done for the notebooks that have a kernel of ours. It is loaded when the first one has.
 */

import type { JupyterFrontEnd } from '@jupyterlab/application';
import type { ICommandPalette, ISessionContext } from '@jupyterlab/apputils';
import type { Kernel } from '@jupyterlab/services';
import type { ISettingRegistry } from '@jupyterlab/settingregistry';
import type { IStatusBar } from '@jupyterlab/statusbar';
import type { ITranslator, TranslationBundle } from '@jupyterlab/translation';
import type { Toolbar } from '@jupyterlab/ui-components';
import type { Widget } from '@lumino/widgets';
import { DOMAIN } from '../domain';
import { late } from '../late';
import { showRunning } from '../running';
import type { Doctor } from './doctor';
import { type ShowDetails, SparkIndicator, SparkStatusItem } from './indicator';
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
 * Where ours stands in the status bar: behind the kernel's own status.
 */
const STATUS_RANK = 2;

/**
 * What the launcher prints where a cell needs no Spark.
 */
const SPARK_WORDS = 'Spark did not start.';

/**
 * What JupyterLab may have, or not.
 */
export interface IWatchOptions {
  palette: ICommandPalette | null;
  settings: ISettingRegistry | null;
  statusBar: IStatusBar | null;
}

/**
 * Passes what is heard of a kernel on to those who know what it means.
 */
export class Watch {
  constructor(
    private readonly _app: JupyterFrontEnd,
    translator: ITranslator,
    { palette, settings, statusBar }: IWatchOptions
  ) {
    this._trans = translator.load(DOMAIN);
    this._settings = settings;
    this._uis = new SparkUis(_app, palette, this._trans);
    if (statusBar) {
      this._item = this._addTo(statusBar);
    }
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
      this._kernels.set(panel, kernel.name);
      const model = this._models.get(panel) ?? new SparkModel();
      model.follow(kernel, event);
      if (!this._models.has(panel)) {
        this._add(model, panel, context);
      }
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

  /**
   * Show in a notebook how its Spark is.
   */
  private _add(
    model: SparkModel,
    panel: Widget,
    context: ISessionContext
  ): void {
    this._models.set(panel, model);
    this._lookAtCurrent();
    context.kernelChanged.connect((_, { newValue }) =>
      model.leave(newValue ?? null)
    );
    panel.disposed.connect(() => model.leave(null));
    model.changed.connect(() => this._tellReceipt(model, context));
    new CellsProgress(panel, model, this._settings, this._trans);
    const { toolbar } = panel as Widget & { toolbar?: Toolbar };
    if (toolbar) {
      const show: ShowDetails = opener => this._showDetails(panel, opener);
      addToToolbar(toolbar, new SparkIndicator(model, this._trans, show));
      // Last, and so the first to be folded into “…”: the kernel's name is missed more, and the
      // indicator's details have the same button.
      toolbar.addItem(`${NAME}-ui`, this._uis.add(panel, { context, model }));
    }
  }

  /**
   * Show how Spark is in the notebook that is looked at, if it is one.
   */
  private _addTo(statusBar: IStatusBar): SparkStatusItem {
    const { shell } = this._app;
    const item = new SparkStatusItem(
      this._trans,
      opener =>
        shell.currentWidget && this._showDetails(shell.currentWidget, opener)
    );
    statusBar.registerStatusItem(NAME, {
      item,
      align: 'left',
      rank: STATUS_RANK,
      isActive: () => item.isActive,
      activeStateChanged: item.activeChanged
    });
    shell.currentChanged?.connect(this._lookAtCurrent, this);
    return item;
  }

  private _lookAtCurrent(): void {
    if (this._item) {
      const { currentWidget: panel } = this._app.shell;
      this._item.model = (panel && this._models.get(panel)) ?? null;
    }
  }

  private _showDetails(panel: Widget, opener: HTMLElement): void {
    const model = this._models.get(panel);
    const kernel = this._kernels.get(panel);
    if (model && kernel !== undefined) {
      const [app, trans, notebook] = [this._app, this._trans, panel.id];
      void late(
        trans,
        () => import('./details'),
        ({ toggleDetails }) =>
          toggleDetails({ app, model, trans, opener, notebook, kernel })
      );
    }
  }

  private readonly _trans: TranslationBundle;
  private readonly _settings: ISettingRegistry | null;
  private readonly _uis: SparkUis;
  private readonly _models = new WeakMap<Widget, SparkModel>();
  /** The names of the kernels that the notebooks have. */
  private readonly _kernels = new WeakMap<Widget, string>();
  private readonly _item: SparkStatusItem | null = null;
  private _doctor: Promise<Doctor> | null = null;
}

/**
 * Put the indicator before the kernel's name, or last where the toolbar does not show that.
 */
function addToToolbar(toolbar: Toolbar, indicator: SparkIndicator): void {
  if (!toolbar.insertBefore('kernelName', NAME, indicator)) {
    toolbar.addItem(NAME, indicator);
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
