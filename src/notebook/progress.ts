/**
 * Puts what Spark works on under the cells of a notebook that began it.
 *
 * Nothing of it is part of the document, unless a person keeps it: then it is an output.
 */

import type { ISettingRegistry } from '@jupyterlab/settingregistry';
import type { TranslationBundle } from '@jupyterlab/translation';
import { Debouncer } from '@lumino/polling';
import type { ISignal } from '@lumino/signaling';
import type { PanelLayout, Widget } from '@lumino/widgets';
import {
  areWorthShowing,
  type IJob,
  jobsOf,
  joined,
  outputOf,
  runs
} from './activity';
import { type IProgress, ProgressView } from './progressview';
import type { SparkModel } from './spark';

/**
 * Whose settings they are.
 */
const PLUGIN = 'jupyterlab-pyspark-kernels:notebook';

/**
 * What is told of the last job may come a moment after the cell has ended.
 */
const LAST_WORDS_MS = 1500;

/**
 * What a person wants to see: nothing, something while jobs run, a line afterwards, an output.
 */
type Wish = 'off' | 'running' | 'summary' | 'keep';

/**
 * The part of JupyterLab's code cell that is used.
 */
interface ICell extends Widget {
  readonly model: {
    readonly id: string;
    readonly type: string;
    readonly executionState?: string;
    readonly outputs: { add: (output: object) => unknown };
    readonly stateChanged: ISignal<unknown, { name: string }>;
  };
  readonly ready: Promise<void>;
  readonly outputArea: {
    readonly future?: { msg: { header: { msg_id: string } } } | null;
  };
}

/**
 * A notebook's panel, as far as it is used.
 */
interface INotebookPanel extends Widget {
  readonly content?: { readonly widgets: readonly ICell[] };
}

/**
 * What is known of a cell.
 */
interface ICellProgress extends IProgress {
  /** The runs that are over. */
  past: Set<string | null>;
  model: ICell['model'];
  view: ProgressView | null;
  cancelling: Set<IJob['id']>;
  /** Adds to the outputs what a person wants to keep, when all is told. */
  keeper: Debouncer;
}

/**
 * The progress under the cells of one notebook.
 */
export class CellsProgress {
  constructor(
    private readonly _panel: INotebookPanel,
    private readonly _model: SparkModel,
    registry: ISettingRegistry | null,
    private readonly _trans: TranslationBundle
  ) {
    _model.changed.connect(this._hear, this);
    _panel.disposed.connect(() => this._dispose());
    void this._follow(registry);
  }

  private async _follow(registry: ISettingRegistry | null): Promise<void> {
    const settings = await registry?.load(PLUGIN);
    const read = (): void => {
      this._wish = settings?.composite.progress as Wish;
      this._cells.forEach(cell => this._show(cell));
      this._hear();
    };
    if (settings && !this._panel.isDisposed) {
      settings.changed.connect(read);
      this._panel.disposed.connect(() => settings.changed.disconnect(read));
      read();
    }
  }

  /**
   * Take what the launcher tells.
   */
  private _hear(): void {
    const { activity } = this._model;
    if (activity === this._heard) {
      return;
    }
    this._heard = activity;
    if (activity === null) {
      // The kernel is another one, or starts anew.
      this._cells.forEach(cell => this._forget(cell));
      return;
    }
    this._ahead = activity.at - Date.now();
    for (const { cell_id: id } of activity.jobs) {
      if (id !== null && !this._cells.has(id)) {
        this._add(id);
      }
    }
    for (const [id, cell] of this._cells) {
      cell.jobs = joined(cell.jobs, jobsOf(activity, id, cell.past));
      this._keepIfWanted(cell);
      this._show(cell);
    }
    this._tick(activity.running !== null);
  }

  private _add(id: string): void {
    const model = this._find(id)?.model;
    if (model?.type !== 'code') {
      return;
    }
    const cell: ICellProgress = {
      model,
      jobs: [],
      past: new Set(),
      view: null,
      isExpanded: false,
      isKept: false,
      cancelling: new Set(),
      keeper: new Debouncer(() => this._keepAtEnd(cell), LAST_WORDS_MS)
    };
    this._cells.set(id, cell);
    model.stateChanged.connect(this._hearOfCell, this);
  }

  private _hearOfCell(model: unknown, { name }: { name: string }): void {
    const cell = this._cells.get((model as ICell['model']).id);
    if (!cell || name !== 'executionState') {
      return;
    }
    if (isExecuting(cell)) {
      cell.jobs.forEach(job => cell.past.add(job.cell));
      cell.jobs = [];
      cell.isKept = false;
      cell.cancelling.clear();
    } else {
      this._keepIfWanted(cell);
    }
    this._show(cell);
  }

  /**
   * Show a cell's jobs, or keep their place while it runs once more, or take all away.
   */
  private _show(cell: ICellProgress): void {
    const isWanted =
      cell.jobs.length > 0
        ? areWorthShowing(cell.jobs, this._now()) &&
          (cell.jobs.some(runs) || this._wish === 'summary' || this._keeps)
        : cell.view !== null;
    const isShown =
      this._wish !== 'off' &&
      (isWanted || (isExecuting(cell) && cell.view !== null));
    if (!isShown || (cell.jobs.length === 0 && !isExecuting(cell))) {
      cell.view?.dispose();
      cell.view = null;
      return;
    }
    if (cell.view === null || cell.view.isDisposed) {
      cell.view = this._place(cell);
    }
    cell.view?.update();
  }

  private get _keeps(): boolean {
    return this._wish === 'keep';
  }

  private _place(cell: ICellProgress): ProgressView | null {
    const widget = this._find(cell.model.id);
    if (!widget) {
      return null;
    }
    const view = new ProgressView(cell, this._actions(cell), this._trans);
    view.id = `jp-pyspark-kernels-progress-${cell.model.id}`;
    // One that was not scrolled to yet has nothing in it.
    void widget.ready.then(() => {
      if (!view.isDisposed && !widget.isDisposed) {
        const layout = widget.layout as PanelLayout;
        const outputs = layout.widgets.findIndex(part =>
          part.hasClass('jp-Cell-outputWrapper')
        );
        layout.insertWidget(outputs, view);
      }
    });
    return view;
  }

  private _actions(
    cell: ICellProgress
  ): ConstructorParameters<typeof ProgressView>[1] {
    return {
      now: () => this._now(),
      toggle: () => {
        cell.isExpanded = !cell.isExpanded;
        cell.view?.update();
      },
      cancel: id => {
        cell.cancelling.add(id);
        this._model.ask({ request: 'cancel', job: id });
        cell.view?.update();
      },
      keep: () => this._keep(cell)
    };
  }

  /**
   * Keep what came of a cell that was run from this page: others may show the same notebook.
   */
  private _keepIfWanted(cell: ICellProgress): void {
    if (this._keeps && cell.jobs.length > 0 && !cell.isKept) {
      cell.keeper.invoke().catch(() => {
        // The notebook was closed meanwhile.
      });
    }
  }

  private _keepAtEnd(cell: ICellProgress): void {
    const ranBy = this._find(cell.model.id)?.outputArea.future?.msg.header;
    if (
      this._keeps &&
      !cell.isKept &&
      !isExecuting(cell) &&
      !cell.jobs.some(runs) &&
      cell.jobs.some(job => job.cell === ranBy?.msg_id)
    ) {
      this._keep(cell);
    }
  }

  private _keep(cell: ICellProgress): void {
    cell.isKept = true;
    cell.model.outputs.add(outputOf(cell.jobs, this._now(), this._trans));
    cell.view?.update();
  }

  private _find(id: string): ICell | undefined {
    return this._panel.content?.widgets.find(cell => cell.model.id === id);
  }

  private _now(): number {
    return Date.now() + this._ahead;
  }

  /**
   * Let the seconds go on between what is told.
   */
  private _tick(isRunning: boolean): void {
    if (isRunning && this._timer === null) {
      this._timer = window.setInterval(
        () => this._cells.forEach(cell => this._show(cell)),
        1000
      );
    } else if (!isRunning && this._timer !== null) {
      window.clearInterval(this._timer);
      this._timer = null;
    }
  }

  private _forget(cell: ICellProgress): void {
    cell.model.stateChanged.disconnect(this._hearOfCell, this);
    cell.keeper.dispose();
    cell.view?.dispose();
    this._cells.delete(cell.model.id);
    this._tick(false);
  }

  private _dispose(): void {
    this._model.changed.disconnect(this._hear, this);
    this._cells.forEach(cell => this._forget(cell));
  }

  private readonly _cells = new Map<string, ICellProgress>();
  private _wish: Wish = 'summary';
  private _heard: SparkModel['activity'] = null;
  /** By how much the clock of the kernel's machine is ahead. */
  private _ahead = 0;
  private _timer: number | null = null;
}

function isExecuting({ model }: ICellProgress): boolean {
  return model.executionState === 'running';
}
